// The store keeps projects, uploads and one counter. Two kinds with the same methods, all synchronous:
//
//   check()                     throws when the store cannot answer
//   addProject(project)         its id, a number
//   project(id)                 or undefined
//   addUploads(uploads)         all or none
//   uploads()                   newest first
//   counter()  increment()      the value
//
// sqlite: instances may overlap. json: one instance only, as in MOBIUS itself.
import { openSqlite } from './store_sqlite.js';
import { openJson } from './store_json.js';

export function openStore({ store, folders, log }) {
  return store === 'json' ? openJson(folders.data, log) : openSqlite(folders.data);
}
