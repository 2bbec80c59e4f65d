// data/projects.json, as MOBIUS keeps it: read once, held in memory, and at every change written anew as a whole, in its place. Two
// instances that run side by side overwrite each other's work, and who reads it at the wrong moment finds half of it.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export function openJson(folder, log) {
  const file = path.join(folder, 'projects.json');
  const state = { projects: [], nextId: 1, uploads: [], counter: 0, ...read(file, log) };
  const save = () => writeFileSync(file, `${JSON.stringify(state, null, 2)}\n`);
  const changing = (change) => (...args) => {
    const result = change(...args);
    save();
    return result;
  };
  save();

  return {
    kind: 'json',
    check: () => void statSync(file),
    addProject: changing((project) => {
      state.projects.push({ id: state.nextId, ...project });
      return state.nextId++;
    }),
    project: (id) => state.projects.find((project) => project.id === id),
    addUploads: changing((uploads) => void state.uploads.push(...uploads)),
    uploads: () => [...state.uploads].reverse(),
    counter: () => state.counter,
    increment: changing(() => (state.counter += 1)),
  };
}

/** As MOBIUS does: what cannot be read is taken for none, and the next write makes the loss permanent. */
function read(file, log) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code !== 'ENOENT') log.warn(`data/projects.json cannot be read, so there are no projects: ${error.message}`);
    return {};
  }
}
