import { randomBytes } from 'node:crypto';

/** Short, unique, and sorted by time: `mh3k2x1a-9f03ab`. */
export const newId = () => `${Date.now().toString(36)}-${randomBytes(3).toString('hex')}`;
