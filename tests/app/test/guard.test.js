import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parseDotEnv } from '../src/api/config.js';
import { form, PNG, startNew } from './helpers/app.js';

const KEY = 'k3y-that-nobody-may-see';
const LOAD_KEY = 'another-that-nobody-may-see';
const ORIGIN = { Origin: 'https://mobius.example' };
describe('who is let in', { concurrency: 3 }, () => {
  test('production does not start without API keys', async (t) => {
    const app = await startNew(t, { env: { NODE_ENV: 'production' }, wait: false });
    assert.equal(await app.exited, 1);
    assert.match(app.output, /^\S+ ERROR refusing to start: .*MOBIUS_API_KEYS.*\n$/);
  });

  test('production asks for a listed Origin, all but health and files for a key, and no key leaks', async (t) => {
    const app = await startNew(t, {
      files: {
        '.env': `# secrets\nMOBIUS_API_KEYS="other, ${KEY}"\nMOBIUS_CORS_ORIGINS=${ORIGIN.Origin}\nAPI_KEY=${LOAD_KEY}\n`,
        'src/api/uploads/a.png': PNG,
      },
      env: { NODE_ENV: 'production' },
    });
    const answers = [];
    const expect = async (status, answer) => {
      answers.push(await answer);
      assert.equal(answers.at(-1).status, status, answers.at(-1).text);
    };

    await expect(403, app.get('/health'));
    assert.deepEqual(answers.at(-1).body, { error: 'CORS origin not allowed' });
    await expect(403, app.get('/'));
    await expect(403, app.get('/health', { headers: { Origin: 'https://elsewhere.example' } }));
    await expect(200, app.get('/health', { headers: ORIGIN }));
    assert.equal(answers.at(-1).headers.get('access-control-allow-origin'), ORIGIN.Origin);

    for (const url of ['/', '/uploads/a.png', '/static/a.png']) await expect(200, app.get(url, { headers: ORIGIN }));
    for (const url of ['/uploads/', '/static/', '/uploads/b.png', '/api/uploads', '/api/counter', '/nothing']) {
      await expect(401, app.get(url, { headers: ORIGIN }));
    }
    const wrong = { ...ORIGIN, 'X-Mobius-API-Key': `${KEY}x` };
    await expect(401, app.post('/api/counter', {}, ORIGIN));
    await expect(401, app.post('/api/counter', {}, { ...ORIGIN, 'X-API-Key': KEY }));
    await expect(403, app.post('/upload-images', form('images', ['a.png', PNG]), wrong));
    await expect(403, app.get('/api/counter', { headers: wrong }));
    for (const key of [{ 'X-Mobius-API-Key': KEY }, { Authorization: `Bearer ${KEY}` }]) {
      await expect(200, app.post('/api/counter', {}, { ...ORIGIN, ...key }));
      await expect(400, app.post('/api/render', {}, { ...ORIGIN, ...key }));
      await expect(200, app.get('/uploads/', { headers: { ...ORIGIN, ...key } })); // the page
    }

    const project = `/load-project/${(await app.post('/save-project', { name: 'chess' }, { ...ORIGIN, 'X-Mobius-API-Key': KEY })).body.projectId}`;
    for (const [status, second] of [[401, {}], [401, { 'X-API-Key': KEY }], [200, { 'X-API-Key': LOAD_KEY }]]) {
      await expect(status, app.get(project, { headers: { ...ORIGIN, 'X-Mobius-API-Key': KEY, ...second } }));
    }

    const places = { output: app.output, answers: answers.map(({ text, headers }) => text + [...headers]).join() };
    for (const folder of ['logs', 'data']) {
      for (const file of readdirSync(path.join(app.root, folder))) {
        places[file] = readFileSync(path.join(app.root, folder, file), 'latin1');
      }
    }
    assert.ok(places['access.log'].includes('POST /api/counter 200'));
    for (const [place, text] of Object.entries(places)) {
      for (const key of [KEY, LOAD_KEY]) assert.ok(!text.includes(key), `a key is in ${place}`);
    }
  });

  test('MOBIUS_CORS_ORIGINS=* lets a request without Origin in; the environment wins over .env', async (t) => {
    const app = await startNew(t, {
      files: { '.env': 'MOBIUS_API_KEYS=\nMOBIUS_CORS_ORIGINS=https://nobody.example\n' },
      env: { NODE_ENV: 'production', MOBIUS_API_KEYS: KEY, MOBIUS_CORS_ORIGINS: '*' },
    });
    assert.equal((await app.get('/health')).status, 200);
  });

  test('without MOBIUS_CORS_ORIGINS three addresses are allowed, whatever the port is', async (t) => {
    const app = await startNew(t, { env: { NODE_ENV: 'production', MOBIUS_API_KEYS: KEY, CORS_ORIGINS: '*' } });
    for (const [port, status] of [[3000, 200], [5001, 200], [8000, 200], [new URL(app.url).port, 403]]) {
      const { status: found } = await app.get('/health', { headers: { Origin: `http://localhost:${port}` } });
      assert.equal(found, status, String(port));
    }
  });

  test('.env lines', () => {
    assert.deepEqual(
      parseDotEnv('A=1\n# B=2\nexport C = "x # y" # z\r\nD=a#b # c\nE=\nnonsense\nF=\'"\'\n'),
      { A: '1', C: 'x # y', D: 'a#b', E: '', F: '"' },
    );
  });
});
