// Every error leaves as JSON: {"error": "..."}.
export class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function notFound(req) {
  throw new HttpError(404, `nothing is served at ${req.path}`);
}

export function errorHandler(log) {
  return (error, req, res, next) => {
    const status = error.status || error.statusCode || 500;
    const expected = error instanceof HttpError || status < 500;
    if (status >= 500) log.error(`${req.method} ${req.path} failed: ${expected ? error.message : error.stack || error}`);
    if (res.headersSent) return next(error);
    res.status(status).json({ error: expected ? error.message : 'internal error, see the log' });
  };
}
