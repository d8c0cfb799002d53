// The markets and their figures, in columns as the feed sends them; selection and order as on the server.

const WARNINGS = 31 | 128 | 256;
const BASE_VERIFIED = 32;
const QUOTE_VERIFIED = 64;
const KEY_LETTERS = 56;
const POINTS = 28;

// Columns that sort, and true for those whose useful order is the ascending one.
export const SORTS = {
  name: true, price: false, "1h": false, "24h": false, "7d": false, volume: false, trades: false, spread: true, age: true,
};

// Marks between the parts of a name as the ticker prints it: `XLM_USDC-G…`, `USDC:G…`, `XLM/USDC`, `GA5Z…KZVN`. Domains
// may hold a dash, so one counts only before a key or its beginning. The server splits words alike.
const MARKS = /[\s:_/…]+|-(?=g[a-z2-7]*(?:[\s:_/…]|$))/;

// Row of a market that left the list.
const LEFT = {
  hasLeft: true, price: null, changes: [null, null, null], low: null, high: null, bid: null, ask: null, spread: null,
  volumeUsd: null, volume: null, trades: null, age: null, flags: 0, baseVerified: false, quoteVerified: false, spark: null,
};

export class Board {
  constructor(names, figures) {
    this.database = figures.database;
    this.names = new Map();
    this.sparks = new Map();
    this.addNames(names);
    this.setFigures(figures);
  }

  // True if a document or an event is of another database, in which markets have other numbers. A server of an older version
  // does not name its database.
  isForeign({ database }) {
    return database !== undefined && this.database !== undefined && database !== this.database;
  }

  addNames({ assets, markets }) {
    const asset = assets.code.map((code, place) => {
      const key = assets.keys.slice(place * KEY_LETTERS, (place + 1) * KEY_LETTERS);
      const issuer = key.startsWith("-") ? null : key;
      return { code, issuer, domain: assets.domains[assets.domain[place]] ?? null, id: issuer ? `${code}-${issuer}` : code };
    });
    const text = ({ code, issuer, domain }) => `${code} ${issuer ?? "native"} ${domain ?? ""}`;
    markets.number.forEach((number, place) => {
      const [base, quote] = [asset[markets.base[place]], asset[markets.quote[place]]];
      const searched = `${text(base)} ${text(quote)}`.toLowerCase();
      this.names.set(number, { number, base, quote, id: `${base.id}_${quote.id}`, searched });
    });
    this.ranks = null;
  }

  // The least number among the figures that has no name yet, or null.
  setFigures(figures) {
    this.figures = figures;
    // Time of the ages.
    this.asOf = Date.parse(figures.as_of) / 1000;
    this.place = new Map(figures.number.map((number, place) => [number, place]));
    return this.changed();
  }

  // Applies an event of the stream. Returns the same as setFigures.
  apply({ as_of: asOf, m: rows, gone }) {
    const { figures, place } = this;
    const { columns } = figures;
    const elapsed = Date.parse(asOf) / 1000 - this.asOf;
    for (const row of rows) {
      let at = place.get(row[0]);
      if (at === undefined) {
        at = figures.number.length;
        place.set(row[0], at);
      }
      columns.forEach((column, index) => { figures[column][at] = row[index]; });
      if (figures.age[at] !== null) figures.age[at] -= elapsed;
    }
    for (const number of gone) this.remove(number);
    return this.changed();
  }

  // The last market takes the place of one that left.
  remove(number) {
    const { figures, place } = this;
    const at = place.get(number);
    if (at === undefined) return;
    const last = figures.number.length - 1;
    place.set(figures.number[last], at);
    place.delete(number);
    for (const column of figures.columns) {
      figures[column][at] = figures[column][last];
      figures[column].length = last;
    }
  }

  changed() {
    this.keys = new Map();
    this.orders = new Map();
    const unknown = this.figures.number.filter((number) => !this.names.has(number));
    return unknown.length > 0 ? unknown.reduce((least, number) => Math.min(least, number)) : null;
  }

  setSparks({ number, lines }) {
    number.forEach((number, place) => this.sparks.set(number, lines.slice(place * POINTS, (place + 1) * POINTS)));
  }

  get total() {
    return this.figures.number.length;
  }

  // Ranks of the markets by name, kept until names are read again.
  rank() {
    if (!this.ranks) {
      const sorted = [...this.names.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
      this.ranks = new Map(sorted.map(({ number }, rank) => [number, rank]));
    }
    return this.ranks;
  }

  // Figures of a column as numbers to compare, kept until the figures change. NaN is not known.
  key(sort) {
    if (!this.keys.has(sort)) {
      const { figures } = this;
      const columns = {
        price: figures.price, "1h": figures.change_1h, "24h": figures.change_24h, "7d": figures.change_7d,
        volume: figures.volume_usd, trades: figures.trades, spread: figures.spread, age: figures.age,
      };
      const rank = sort === "name" ? this.rank() : null;
      const value = (number, place) => (rank ? (rank.get(number) ?? Number.MAX_SAFE_INTEGER) : columns[sort][place]);
      this.keys.set(sort, Float64Array.from(figures.number, (number, place) => Number(value(number, place) ?? NaN)));
    }
    return this.keys.get(sort);
  }

  // Places of all markets in an order, kept until the figures change.
  order(sort, ascending) {
    const name = `${sort} ${ascending}`;
    if (!this.orders.has(name)) {
      const [key, ranks] = [this.key(sort), this.key("name")];
      const sign = ascending ? 1 : -1;
      const places = Uint32Array.from(key, (_, place) => place);
      this.orders.set(name, places.sort((one, other) => {
        const [left, right] = [key[one], key[other]];
        if (left === right || (left !== left && right !== right)) return ranks[one] - ranks[other];
        if (left !== left) return 1;
        return right !== right ? -1 : sign * (left - right);
      }));
    }
    return this.orders.get(name);
  }

  // Numbers of the markets that a query selects, in its order.
  select({ words, quote, volume, verified, clean, sort, ascending }) {
    const { figures, names } = this;
    const wanted = words.toLowerCase().split(MARKS).filter(Boolean);
    const numbers = [];
    for (const place of this.order(sort, ascending)) {
      const name = names.get(figures.number[place]);
      const flags = figures.flags[place];
      if (!name || (clean && flags & WARNINGS)) continue;
      if (verified && !(flags & BASE_VERIFIED && flags & QUOTE_VERIFIED)) continue;
      if (volume > 0 && !(figures.volume_usd[place] >= volume)) continue;
      if (quote && name.quote.id !== quote) continue;
      if (wanted.every((word) => name.searched.includes(word))) numbers.push(name.number);
    }
    return numbers;
  }

  // All that a row shows, or null for a market without a name. One that left has no figures: the list may still show it
  // while somebody uses it.
  row(number) {
    const place = this.place.get(number);
    const name = this.names.get(number);
    if (!name) return null;
    if (place === undefined) return { ...name, ...LEFT };
    const { figures } = this;
    return {
      ...name,
      price: figures.price[place],
      changes: [figures.change_1h[place], figures.change_24h[place], figures.change_7d[place]],
      low: figures.low[place], high: figures.high[place], bid: figures.bid[place], ask: figures.ask[place],
      spread: figures.spread[place], volumeUsd: figures.volume_usd[place], volume: figures.volume[place],
      trades: figures.trades[place], age: figures.age[place], flags: figures.flags[place],
      baseVerified: Boolean(figures.flags[place] & BASE_VERIFIED),
      quoteVerified: Boolean(figures.flags[place] & QUOTE_VERIFIED),
      spark: this.sparks.get(number) ?? null,
    };
  }
}
