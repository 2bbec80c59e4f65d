import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { makeRelease, source } from './helpers/app.js';

const makeVersion = (...args) =>
  spawnSync('python3', [path.join(source, 'make_version.py'), ...args], { encoding: 'utf8' });

test('versions differ in VERSION and fault.json, and carry nothing that was generated', (t) => {
  const root = makeRelease(t, { version: 'v2 beta', fault: { kind: 'health', after: 8 } });
  assert.equal(readFileSync(path.join(root, 'VERSION'), 'utf8'), 'v2 beta\n');
  assert.deepEqual(JSON.parse(readFileSync(path.join(root, 'fault.json'))), { kind: 'health', after: 8 });
  for (const file of ['package.json', 'package-lock.json', 'client/package-lock.json', 'src/api/index.js']) {
    assert.deepEqual(readFileSync(path.join(root, file)), readFileSync(path.join(source, file)), file);
  }
  assert.ok(lstatSync(path.join(root, 'node_modules')).isSymbolicLink());
  assert.ok(!existsSync(path.join(root, 'client/node_modules')));

  assert.match(makeVersion(root, '--version', 'v3').stderr, /not an empty folder/);
  assert.match(makeVersion(path.join(source, 'x'), '--version', 'v3').stderr, /inside the application's source/);
  assert.match(makeVersion(`${root}2`, '--version', 'v3', '--fault', '{"kind": "rain"}').stderr, /'kind' must be one of/);
});

test('lock files name no registry', () => {
  for (const file of ['package-lock.json', 'client/package-lock.json']) {
    const { packages } = JSON.parse(readFileSync(path.join(source, file), 'utf8'));
    assert.deepEqual(Object.keys(packages).filter((name) => packages[name].resolved), []);
  }
});

test('the client builds with a linked node_modules, and leaves nothing there', (t) => {
  const modules = path.join(source, 'client/node_modules');
  if (!existsSync(modules)) return t.skip('client/node_modules is not installed');
  const root = makeRelease(t);
  rmSync(path.join(root, 'client/build'), { recursive: true });
  symlinkSync(modules, path.join(root, 'client/node_modules'));
  const before = readdirSync(modules);
  execFileSync('npm', ['run', 'build'], { cwd: root, stdio: 'pipe' });
  assert.deepEqual(readdirSync(modules), before);
  const page = readFileSync(path.join(root, 'client/build/index.html'), 'utf8');
  assert.ok(existsSync(path.join(root, 'client/build', /src="(\/assets\/[^"]+-[\w-]+\.js)"/.exec(page)[1])));
});
