/** A folder on loopback, as any web server would show it. */

import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, posix, sep } from "node:path";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".woff2": "font/woff2",
};

/** The file that a path of a URL stands for, or null. */
async function fileOf(folder, path) {
  const file = join(folder, posix.normalize(`/${decodeURIComponent(path)}`));
  const found = await stat(file).catch(() => null);
  if (found?.isFile()) return file;
  return found?.isDirectory() ? fileOf(folder, posix.join(path, "index.html")) : null;
}

/** Serve `folder` on a free port of 127.0.0.1; resolves to the server and its origin. */
export async function serve(folder) {
  const server = createServer(async (request, response) => {
    const file = await fileOf(folder, new URL(request.url, "http://localhost").pathname);
    if (file === null) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, origin: `http://127.0.0.1:${server.address().port}` };
}

/** The paths of all pages below `folder`, with slashes, in order. */
export async function pagesOf(folder) {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => name.endsWith(".html")).map((name) => name.split(sep).join("/")).sort();
}
