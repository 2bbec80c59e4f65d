// A service that knows nothing of this collection: it takes orders, keeps them in a file, renders films of them, and writes an access log.
const fs = require('node:fs');
const { spawn } = require('node:child_process');

require('node:http').createServer((request, response) => {
  const answer = (status, text) => {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(text);
    const when = new Date().toISOString().replace(/^(\d+)-(\d+)-(\d+)T(.*)\.\d+Z$/, '$3/$2/$1:$4 +0000')
      .replace(/\/(\d\d)\//, (_all, month) => `/${'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')[month - 1]}/`);
    fs.appendFileSync('logs/access.log',
      `127.0.0.1 - - [${when}] "${request.method} ${request.url} HTTP/1.1" ${status} ${text.length} "-" "-"\n`);
  };
  if (request.url === '/health') answer(200, '{"status":"ok"}');
  else if (request.method === 'POST' && request.url === '/orders') {
    fs.appendFileSync('data/orders.txt', `${new Date().toISOString()}\n`);
    answer(200, '{}');
  } else if (request.method === 'POST' && request.url === '/films') {
    spawn('ffmpeg', ['-loglevel', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc=duration=3600', '-f', 'null', '-'], { stdio: 'ignore' });
    answer(200, '{}');
  } else answer(404, '{}');
}).listen(process.env.PORT || 3000, '127.0.0.1');
