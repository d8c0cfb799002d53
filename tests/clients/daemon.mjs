// Further daemons, for the states that the demo of `run` is never in.
import { spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

// A loaded machine is no failure.
const DEADLINE_MS = 180_000;
const BINARY = process.env.TICKER_BINARY;

// A port that is free now.
export const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

// Waits until `look` gives something.
export async function until(what, look) {
  for (const begun = Date.now(); Date.now() - begun < DEADLINE_MS; await setTimeout(100)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`not within ${DEADLINE_MS / 1000} s: ${what}`);
}

// Directory that `remove` deletes. Others may enter it: as root, PostgreSQL runs as another user.
export function scratch() {
  const path = mkdtempSync(join(tmpdir(), "ticker-clients-"));
  spawn("chmod", ["755", path]);
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

const programs = [];

// Ends what a failed test left behind.
export const stopAll = () => Promise.all(programs.map((program) => program.isOver || program.stop("SIGKILL")));

// A running subcommand of the ticker.
export class Program {
  constructor(directory, name, args) {
    this.log = join(directory, `${name}-${Date.now()}.log`);
    const environment = Object.entries(process.env).filter(([key]) => !key.startsWith("TICKER_") || key === "TICKER_PG_BIN_DIR");
    const stderr = openSync(this.log, "a");
    this.child = spawn(BINARY, [...args, "--log-format", "json"], {
      env: Object.fromEntries(environment), stdio: ["ignore", "ignore", stderr],
    });
    this.ended = new Promise((resolve) => this.child.on("exit", (code, signal) => resolve(code ?? signal)));
    this.isOver = false;
    this.ended.then(() => { this.isOver = true; });
    programs.push(this);
  }

  // Fields of the first line of the log with this message.
  said(message) {
    return until(`${message} in ${this.log}`, () => {
      const text = readFileSync(this.log, "utf8");
      if (this.isOver) throw new Error(`it ended: ${text.slice(-2_000)}`);
      const line = text.split("\n").find((line) => line.includes(`"message":"${message}"`));
      return line && JSON.parse(line).fields;
    });
  }

  // Stops it. Returns its exit code.
  stop(signal = "SIGTERM") {
    this.child.kill(signal);
    return this.ended;
  }
}

// A daemon with its address once it listens. `args` are those of `serve` or `demo`, with the subcommand first.
export async function daemon(directory, args, bind = "127.0.0.1:0") {
  const all = [...args, "--bind", bind, "--admin-bind", "127.0.0.1:0", "--data-dir", join(directory, "data")];
  const program = new Program(directory, args[0], all);
  const { public: address, admin } = await program.said("listening");
  return { program, url: `http://${address}`, admin: `http://${admin}` };
}

// Waits until a daemon publishes this many markets.
export const published = (url, least = 1) =>
  until(`${least} markets`, async () => {
    // Nobody listens yet, or nginx waits for the daemon.
    const answer = await fetch(`${url}/api/v1/markets?limit=1000`).catch(() => null);
    return answer?.ok && (await answer.json()).markets.length >= least;
  });
