// data/projects.json, as MOBIUS keeps it: read once, held in memory, written as a whole at every change.
// Two instances that run side by side overwrite each other's work.
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigError } from './config.js';

export function openJson(folder) {
  const file = path.join(folder, 'projects.json');
  const state = { uploads: [], renders: [], counter: 0, ...read(file) };
  const save = () => {
    const partial = `${file}.tmp`;
    writeFileSync(partial, `${JSON.stringify(state, null, 2)}\n`);
    renameSync(partial, file);
  };
  const changing = (change) => (...args) => {
    const result = change(...args);
    save();
    return result;
  };
  save();

  return {
    kind: 'json',
    check: () => void statSync(file),
    addUploads: changing((uploads) => void state.uploads.push(...uploads)),
    uploads: () => [...state.uploads].reverse(),
    upload: (id) => state.uploads.find((upload) => upload.id === id),
    addRender: changing((render) => void state.renders.push(render)),
    updateRender: changing((id, fields) =>
      void Object.assign(state.renders.find((render) => render.id === id), fields)),
    render: (id) => state.renders.find((render) => render.id === id),
    renders: (status) => state.renders.filter((render) => render.status === status),
    counter: () => state.counter,
    increment: changing(() => (state.counter += 1)),
  };
}

/** A broken file stops the start: going on would overwrite what can still be repaired. */
function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw new ConfigError(`refusing to start: data/projects.json cannot be read: ${error.message}`);
  }
}
