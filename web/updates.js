// The source of new figures: the stream of the browser, or figures read every 10 seconds where there is none.
import { showUpdates, syncClock } from "./frame.js";
import { follow } from "./stream.js";

const INTERVAL_MS = 10_000;
// Wait before figures are read again that do not reach the events yet: the server cuts them every 10 seconds.
const AGAIN_MS = 3_000;
// Most events that wait. With more, figures are read again instead.
const WAITING_MAX = 120;
// Failures in a row after which the page says that no updates arrive.
const FAILURES_MAX = 3;
// Longest wait for an answer. All figures are up to 2 MB.
const PATIENCE_MS = 60_000;

// Answer of a path of the feed.
export async function read(path) {
  const signal = AbortSignal.timeout?.(PATIENCE_MS);
  const response = await fetch(`/api/v1/board/${path}`, { headers: { Accept: "application/json" }, signal });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  syncClock(response);
  return response.json();
}

// Calls `onFigures` with all figures or `onEvent` with the event that brings them up to date, one after the other.
// Begin before figures are read: events wait until `start` gets those.
export class Updates {
  constructor(onFigures, onEvent) {
    this.onFigures = onFigures;
    this.onEvent = onEvent;
    this.figures = null;
    this.waiting = [];
    this.mode = "poll";
    this.failures = 0;
    this.isBusy = false;
    follow((event) => this.take(event), (state) => this.become(state));
  }

  // Begins with figures that the page has.
  start(figures) {
    this.figures = figures;
    setInterval(() => this.mode === "poll" && this.poll(), INTERVAL_MS);
    document.addEventListener("visibilitychange", () => this.mode === "poll" && this.poll());
    this.tell();
    this.work();
  }

  become(state) {
    this.mode = state;
    this.failures = 0;
    this.tell();
  }

  tell() {
    if (!this.figures) return;
    if (this.failures >= FAILURES_MAX) showUpdates("stop", "none arrive");
    else if (this.mode === "live") showUpdates("live", "live");
    else showUpdates("wait", "every 10 s");
  }

  take(event) {
    if (this.waiting.length >= WAITING_MAX) this.waiting = [null];
    this.waiting.push(event);
    this.work();
  }

  // True if the figures are of this publication or a later one. One second may have two publications, which differ in `seq`.
  has(seq, asOf) {
    return asOf <= this.figures.as_of && seq <= this.figures.seq;
  }

  // True if an event applies to the figures. A server of an older version sends no `after_seq`.
  continues({ after, after_seq: afterSeq = 0 }) {
    return this.has(afterSeq, after);
  }

  // Applies what waits, in its order.
  async work() {
    if (!this.figures || this.isBusy) return;
    this.isBusy = true;
    try {
      while (this.waiting.length > 0) {
        const event = this.waiting[0];
        if (event && this.has(event.seq, event.as_of)) this.waiting.shift();
        else if (event && this.continues(event)) {
          this.waiting.shift();
          this.figures = { seq: event.seq, as_of: event.as_of };
          await this.onEvent(event);
        } else await this.catchUp(event);
        this.failures = 0;
      }
    } catch (error) {
      this.failures += 1;
      console.warn("an update failed:", error);
    } finally {
      this.isBusy = false;
    }
    this.tell();
  }

  // Reads figures again: events are missing between them and this one.
  async catchUp(event) {
    await this.load();
    if (event === null) this.waiting.shift();
    else if (!this.has(event.seq, event.as_of) && !this.continues(event)) {
      await new Promise((resolve) => { setTimeout(resolve, AGAIN_MS); });
    }
  }

  async load() {
    const figures = await read("figures");
    if (figures.seq === this.figures.seq && figures.as_of === this.figures.as_of) return;
    this.figures = { seq: figures.seq, as_of: figures.as_of };
    await this.onFigures(figures);
  }

  async poll() {
    if (document.hidden || this.isBusy) return;
    this.isBusy = true;
    try {
      await this.load();
      this.failures = 0;
    } catch {
      this.failures += 1;
    } finally {
      this.isBusy = false;
    }
    this.tell();
  }
}
