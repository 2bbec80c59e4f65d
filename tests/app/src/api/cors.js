// Who may call: the Origin guard of production, and the API key of every write.
import { HttpError } from './errors.js';

/** In production a request needs an Origin that is listed; `*` in the list lets everybody in. */
export function cors({ origins, production }) {
  const open = origins.has('*');
  return (req, res, next) => {
    const { origin } = req.headers;
    const allowed = open || origins.has(origin);
    if (production && !allowed) {
      throw new HttpError(403, origin ? 'this Origin is not allowed' : 'a request must carry an Origin header');
    }
    res.vary('Origin');
    if (origin && allowed) res.set('Access-Control-Allow-Origin', origin);
    if (req.method !== 'OPTIONS') return next();
    res.set('Access-Control-Allow-Methods', 'GET, HEAD, POST');
    res.set('Access-Control-Allow-Headers', 'Content-Type, X-API-Key');
    res.status(204).end();
  };
}

export function requireKey({ keyMatches }) {
  return (req, res, next) => {
    if (req.method !== 'POST' || !keyMatches) return next();
    const key = req.get('X-API-Key');
    if (!key) throw new HttpError(401, 'this request needs the header X-API-Key');
    if (!keyMatches(key)) throw new HttpError(401, 'the API key is not valid');
    next();
  };
}
