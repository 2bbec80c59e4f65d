// What never ends by itself: server-sent events, and a WebSocket. Each says first which release it is from.
import { createHash } from 'node:crypto';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export function createStreams({ config }) {
  function events(req, res) {
    res.set('Content-Type', 'text/event-stream');
    res.flushHeaders();
    res.write(`data: ${config.release}\n\n`);
  }

  /** For a server's event `upgrade`: one message, and then silence. */
  function upgrade(req, socket) {
    const key = req.headers['sec-websocket-key'];
    if (req.url !== '/ws' || !key) return socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    socket.on('error', () => {}); // a client that goes away is none
    const accept = createHash('sha1').update(key + GUID).digest('base64');
    const message = Buffer.from(config.release);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    return socket.write(Buffer.concat([Buffer.from([0x81, message.length]), message]));
  }

  return { events, upgrade };
}
