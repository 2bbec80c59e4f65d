// The API's own address while developing: `npm run dev` passes these paths on to it.
const api = process.env.MOBIUS_API || 'http://127.0.0.1:5001';
const paths = ['/health', '/api', '/upload-images', '/upload-pdf', '/uploads', '/static', '/out'];

export default {
  esbuild: { jsx: 'automatic' },
  build: { outDir: 'build', emptyOutDir: true, reportCompressedSize: false },
  server: { proxy: Object.fromEntries(paths.map((path) => [path, api])) },
};
