// data/mobius.db, a plain SQLite file in WAL mode.
import path from 'node:path';
import Database from 'libsql';

const UPLOAD = ['id', 'name', 'path', 'preview', 'size', 'uploadedAt'];

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS projects (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, content TEXT NOT NULL, created_at TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, preview TEXT NOT NULL, size INTEGER NOT NULL, uploadedAt TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
`;

export function openSqlite(folder) {
  const db = new Database(path.join(folder, 'mobius.db'));
  db.exec('PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON');
  db.pragma('journal_mode = WAL');
  db.exec(SCHEMA);

  const insertProject = db.prepare('INSERT INTO projects (name, content, created_at) VALUES (?, ?, ?) RETURNING id');
  const oneProject = db.prepare('SELECT id, name, content, created_at FROM projects WHERE id = ?');
  const insertUpload = db.prepare(`INSERT INTO uploads (${UPLOAD}) VALUES (${UPLOAD.map(() => '?')})`);
  const allUploads = db.prepare(`SELECT ${UPLOAD} FROM uploads ORDER BY uploadedAt DESC, id DESC`);
  const readCounter = db.prepare("SELECT value FROM counters WHERE name = 'main'");
  const addToCounter = db.prepare(`
    INSERT INTO counters VALUES ('main', 1)
    ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value`);

  return {
    kind: 'sqlite',
    check: () => void readCounter.get(),
    addProject: ({ name, content, created_at: createdAt }) => insertProject.get([name, content, createdAt]).id,
    project: (id) => oneProject.get(id),
    addUploads: db.transaction((uploads) => {
      for (const upload of uploads) insertUpload.run(UPLOAD.map((name) => upload[name]));
    }),
    uploads: () => allUploads.all(),
    counter: () => readCounter.get()?.value ?? 0,
    increment: () => addToCounter.get().value,
  };
}
