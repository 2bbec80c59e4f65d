// A migration that a release brings: node src/migrate.js up|down. It adds a column that the old release never looks at.
// Running it twice is the same as running it once.
import path from 'node:path';
import Database from 'libsql';

const db = new Database(path.join(process.cwd(), 'data', 'mobius.db'));
db.exec('PRAGMA busy_timeout = 5000');
const there = db.prepare('PRAGMA table_info(uploads)').all().some((column) => column.name === 'note');
if (process.argv[2] === 'up' && !there) db.exec('ALTER TABLE uploads ADD COLUMN note TEXT');
else if (process.argv[2] === 'down' && there) db.exec('ALTER TABLE uploads DROP COLUMN note');
else if (!['up', 'down'].includes(process.argv[2])) throw new Error(`migrate.js: expected up or down, found ${process.argv[2]}`);
