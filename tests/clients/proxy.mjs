// A proxy in front of the simulated Horizon that breaks what a test wants broken.
import { createServer, request } from "node:http";

// `refuses(url)` is true for requests that get 503, and `rewrite(url, text)` changes stellar.toml files.
export class Proxy {
  constructor(upstream, rewrite = (_, text) => text) {
    this.refuses = () => false;
    this.asked = [];
    this.open = new Set();
    this.server = createServer((incoming, outgoing) => {
      const { url, method, headers } = incoming;
      this.asked.push(url);
      if (this.refuses(url)) {
        outgoing.writeHead(503, { "content-type": "application/problem+json" }).end('{"status":503}');
        return;
      }
      const isFile = url.startsWith("/_toml/");
      const { hostname: host, port } = new URL(upstream);
      // Files are changed as text, so they must not be compressed.
      const sent = isFile ? { ...headers, "accept-encoding": "identity" } : headers;
      const passed = request({ host, port, path: url, method, headers: sent }, (answer) => {
        if (!isFile) {
          outgoing.writeHead(answer.statusCode, answer.headers);
          answer.pipe(outgoing);
          return;
        }
        const chunks = [];
        answer.on("data", (chunk) => chunks.push(chunk));
        answer.on("end", () => {
          const { "content-length": _, ...rest } = answer.headers;
          const text = Buffer.concat(chunks).toString("utf8");
          outgoing.writeHead(answer.statusCode, rest).end(answer.statusCode === 200 ? rewrite(url, text) : text);
        });
      });
      passed.on("error", () => outgoing.destroy());
      outgoing.on("close", () => {
        this.open.delete(outgoing);
        passed.destroy();
      });
      this.open.add(outgoing);
      incoming.pipe(passed);
    });
  }

  listen() {
    return new Promise((resolve) => {
      this.server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${this.server.address().port}`));
    });
  }

  // Refuses these requests from now on, and cuts the streams that are open.
  cut(refuses) {
    this.refuses = refuses;
    for (const answer of this.open) answer.destroy();
  }

  close() {
    this.cut(() => true);
    this.server.close();
    this.server.closeAllConnections();
  }
}
