// The store keeps uploads, renders and one counter. Two kinds with the same methods, all synchronous:
//
//   check()                     throws when the store cannot answer
//   addUploads(uploads)         all or none
//   uploads()                   newest first
//   upload(id)                  or undefined
//   addRender(render)
//   updateRender(id, fields)
//   render(id)                  or undefined
//   renders(status)             oldest first
//   counter()  increment()      the value
//
// sqlite: instances may overlap. json: one instance only, as in MOBIUS itself.
import { openSqlite } from './store_sqlite.js';
import { openJson } from './store_json.js';

export function openStore({ store, folders }) {
  return store === 'json' ? openJson(folders.data) : openSqlite(folders.data);
}
