// data/mobius.db, a plain SQLite file in WAL mode.
import path from 'node:path';
import Database from 'libsql';

const UPLOAD = ['id', 'kind', 'name', 'file', 'size', 'sha256', 'created'];
const RENDER = ['id', 'upload_id', 'seconds', 'realtime', 'status', 'progress', 'file', 'error', 'owner', 'created'];

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL, created TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS renders (
    id TEXT PRIMARY KEY, upload_id TEXT NOT NULL REFERENCES uploads(id), seconds REAL NOT NULL,
    realtime INTEGER NOT NULL, status TEXT NOT NULL, progress INTEGER NOT NULL, file TEXT, error TEXT,
    owner TEXT NOT NULL, created TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS renders_status ON renders (status, created);
  CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
`;

export function openSqlite(folder) {
  const db = new Database(path.join(folder, 'mobius.db'));
  db.exec('PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON');
  db.pragma('journal_mode = WAL');
  db.exec(SCHEMA);

  const insertUpload = db.prepare(insert('uploads', UPLOAD));
  const insertRender = db.prepare(insert('renders', RENDER));
  const allUploads = db.prepare(`SELECT ${UPLOAD} FROM uploads ORDER BY created DESC, id DESC`);
  const oneUpload = db.prepare(`SELECT ${UPLOAD} FROM uploads WHERE id = ?`);
  const oneRender = db.prepare(`SELECT ${RENDER} FROM renders WHERE id = ?`);
  const someRenders = db.prepare(`SELECT ${RENDER} FROM renders WHERE status = ? ORDER BY created, id`);
  const readCounter = db.prepare("SELECT value FROM counters WHERE name = 'main'");
  const addToCounter = db.prepare(`
    INSERT INTO counters VALUES ('main', 1)
    ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value`);

  return {
    kind: 'sqlite',
    check: () => void readCounter.get(),
    addUploads: db.transaction((uploads) => {
      for (const upload of uploads) insertUpload.run(values(upload, UPLOAD));
    }),
    uploads: () => allUploads.all(),
    upload: (id) => oneUpload.get(id),
    addRender: (render) => void insertRender.run(values(render, RENDER)),
    updateRender(id, fields) {
      const names = Object.keys(fields);
      const set = names.map((name) => `${name} = ?`).join(', ');
      db.prepare(`UPDATE renders SET ${set} WHERE id = ?`).run([...values(fields, names), id]);
    },
    render: (id) => oneRender.get(id),
    renders: (status) => someRenders.all(status),
    counter: () => readCounter.get()?.value ?? 0,
    increment: () => addToCounter.get().value,
  };
}

const insert = (table, columns) =>
  `INSERT INTO ${table} (${columns}) VALUES (${columns.map(() => '?')})`;

/** SQLite has no boolean. */
const values = (record, columns) =>
  columns.map((name) => (typeof record[name] === 'boolean' ? Number(record[name]) : record[name] ?? null));
