// The list as a window: only the rows near what is seen are in the document. Rows are kept by market, so that a focus
// stays on its market.
import { isHovered } from "./frame.js";
import { ageText, cells } from "./row.js";

const ROW_PX = 38;
const HEAD_PX = 31;
// Rows beyond each edge of the window.
const OVERSCAN = 10;
const OVERSCAN_MIN = 3;
// Most rows in the document, unless the window shows more.
const ROWS_MAX = 60;

export class Table {
  // `rowOf` returns the content of a market's row, `elapsed` the seconds since the figures.
  constructor(box, rowOf, elapsed) {
    this.box = box;
    this.table = box.querySelector("table");
    this.body = box.querySelector("tbody");
    this.rowOf = rowOf;
    this.elapsed = elapsed;
    this.numbers = [];
    this.rows = new Map();
    this.prices = new Map();
    this.drawn = [0, -1];
    addEventListener("scroll", () => this.scrolled(), { passive: true });
    addEventListener("resize", () => this.draw());
  }

  // Shows these markets in this order.
  show(numbers) {
    if (!this.isVirtual) {
      this.isVirtual = true;
      this.box.classList.add("virtual");
      this.adopt();
    }
    this.numbers = numbers;
    this.table.setAttribute("aria-rowcount", String(numbers.length + 1));
    this.body.style.height = `${numbers.length * ROW_PX}px`;
    this.draw();
  }

  // Keeps the server's rows, so that a focus in one of them stays.
  adopt() {
    for (const row of [...this.body.rows]) this.rows.set(Number(row.dataset.number), row);
    this.refresh();
  }

  // Scrolls until the row at this place is the first below the head.
  goTo(place) {
    scrollBy(0, this.body.getBoundingClientRect().top + place * ROW_PX - HEAD_PX);
    this.draw();
  }

  // Place at the lower edge of the head, as `goTo` takes it: with a fraction, and negative above the list.
  topPlace() {
    return (HEAD_PX - this.body.getBoundingClientRect().top) / ROW_PX;
  }

  // First and last row that the window shows.
  seen() {
    const top = this.body.getBoundingClientRect().top;
    const first = Math.floor(Math.max(0, -top) / ROW_PX);
    return [first, Math.min(this.numbers.length - 1, Math.ceil((innerHeight - top) / ROW_PX))];
  }

  scrolled() {
    const [first, last] = this.seen();
    // Redrawn when the window reaches the edge of the overscan, not on each event.
    const isInside = (first >= this.drawn[0] + 2 || this.drawn[0] === 0) &&
      (last <= this.drawn[1] - 2 || this.drawn[1] === this.numbers.length - 1);
    if (!isInside) this.draw();
  }

  // Draws the rows near the window. Rows that are drawn already keep their figures: refresh writes new ones.
  draw() {
    if (!this.isVirtual) return;
    const [seenFirst, seenLast] = this.seen();
    // A tall window shows more rows than ROWS_MAX. Then all that it shows are drawn, with a small overscan.
    const seen = seenLast - seenFirst + 1;
    const overscan = Math.max(OVERSCAN_MIN, Math.min(OVERSCAN, Math.floor((ROWS_MAX - seen) / 2)));
    const first = Math.max(0, seenFirst - overscan);
    const last = Math.min(this.numbers.length - 1, seenLast + overscan);
    this.drawn = [first, last];
    const wanted = new Set(this.numbers.slice(first, last + 1));
    for (const [number, row] of this.rows) {
      if (wanted.has(number)) continue;
      if (row.contains(document.activeElement)) this.box.focus({ preventScroll: true });
      row.remove();
      this.rows.delete(number);
      this.prices.delete(number);
    }
    for (let place = first; place <= last; place += 1) this.place(this.numbers[place], place);
  }

  place(number, place) {
    let row = this.rows.get(number);
    if (!row) {
      row = document.createElement("tr");
      row.setAttribute("role", "row");
      row.dataset.number = String(number);
      this.rows.set(number, row);
      this.fill(number, row);
    }
    row.setAttribute("aria-rowindex", String(place + 2));
    row.style.transform = `translateY(${place * ROW_PX}px)`;
    // In the order of the list, for screen readers and the tab key. A row with the focus is not moved.
    const before = this.rows.get(this.numbers[place - 1]);
    const isInPlace = row.parentNode === this.body && (before ? before.nextSibling === row : row === this.body.firstChild);
    if (isInPlace || (row.isConnected && row.contains(document.activeElement))) return;
    if (before?.parentNode === this.body) before.after(row);
    else this.body.prepend(row);
  }

  // Writes the figures of a market into its row. Only cells that changed are replaced, and only a new price is marked.
  fill(number, row) {
    const shown = this.rowOf(number);
    if (!shown) return;
    const made = cells(shown, this.elapsed());
    made.forEach((cell, place) => {
      const old = row.cells[place];
      // Until the lines of 7 days are read, those that the server drew stay.
      const isUnread = cell.className === "spark" && shown.spark === null;
      if (!old) row.append(cell);
      else if (!isUnread && !old.isEqualNode(cell) && !isMarked(old, cell)) this.replace(old, cell, place === 0);
    });
    const before = this.prices.get(number);
    if (before !== undefined && before !== shown.price) row.cells[1].firstChild.className = "changed";
    this.prices.set(number, shown.price);
  }

  replace(old, cell, hasLink) {
    if (!hasLink || !old.contains(document.activeElement)) {
      old.replaceWith(cell);
      return;
    }
    old.firstElementChild.replaceChildren(...cell.firstElementChild.childNodes);
  }

  // Writes new figures into the drawn rows of these markets, or into all, without moving any.
  refresh(numbers = this.rows.keys()) {
    for (const number of numbers) {
      const row = this.rows.get(number);
      if (row) this.fill(number, row);
    }
  }

  // Writes the ages into the drawn rows.
  age() {
    for (const [number, row] of this.rows) {
      const shown = this.rowOf(number);
      const text = shown && ageText(shown, this.elapsed());
      const cell = row.querySelector(".age > span");
      if (text && cell && cell.textContent !== text) cell.textContent = text;
    }
  }

  // True while the pointer or the focus is in a row: none may move then.
  get isInUse() {
    return isHovered(this.body) || this.body.contains(document.activeElement);
  }

  // Moves the focus by `step` rows, from the row that has it. Without one it goes to the first row in sight, or with the step
  // 0 to the first of all.
  walk(step) {
    const row = document.activeElement?.closest?.("tbody tr");
    const from = row ? this.numbers.indexOf(Number(row.dataset.number)) : -1;
    const start = step === 0 ? 0 : this.seen()[0];
    const place = Math.min(Math.max(0, from < 0 ? start : from + step), this.numbers.length - 1);
    if (this.numbers.length === 0) return;
    const top = this.body.getBoundingClientRect().top + place * ROW_PX;
    if (top < HEAD_PX) scrollBy(0, top - HEAD_PX);
    else if (top + ROW_PX > innerHeight) scrollBy(0, top + ROW_PX - innerHeight);
    this.draw();
    this.rows.get(this.numbers[place])?.querySelector("a")?.focus({ preventScroll: true });
  }
}

// True if the cells differ only in the mark of a changed price.
function isMarked(old, cell) {
  return old.className === "price" && old.textContent === cell.textContent;
}
