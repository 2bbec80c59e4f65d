// Who may call: the Origin guard of production, and the API key.
import { HttpError } from './errors.js';

/** In production a request needs an Origin that is listed; `*` in the list lets everybody in. */
export function cors({ origins, production }) {
  const open = origins.has('*');
  return (req, res, next) => {
    const { origin } = req.headers;
    const allowed = open || origins.has(origin);
    if (production && !allowed) {
      throw new HttpError(403, 'CORS origin not allowed');
    }
    res.vary('Origin');
    if (origin && allowed) res.set('Access-Control-Allow-Origin', origin);
    if (req.method !== 'OPTIONS') return next();
    res.set('Access-Control-Allow-Methods', 'GET, HEAD, POST');
    res.set('Access-Control-Allow-Headers', 'Content-Type, X-Mobius-API-Key, Authorization');
    res.status(204).end();
  };
}

export function requireKey({ keyMatches }) {
  return (req, res, next) => {
    if (!keyMatches) return next();
    const [, bearer] = /^Bearer (.+)$/.exec(req.get('Authorization') ?? '') ?? [];
    const key = req.get('X-Mobius-API-Key') || bearer;
    if (!key) throw new HttpError(401, 'this request needs the header X-Mobius-API-Key or Authorization: Bearer');
    if (!keyMatches(key)) throw new HttpError(403, 'the API key is not valid');
    next();
  };
}
