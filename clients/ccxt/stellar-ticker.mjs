// The ticker as an exchange of CCXT (https://github.com/ccxt/ccxt), for market data only.
//
//   import ccxt from "ccxt";
//   import "./stellar-ticker.mjs"; // registers ccxt.stellarticker
//   const exchange = new ccxt.stellarticker({ urls: { api: { public: "https://ticker.example/api/v1/ccxt" } } });
//
// The server answers with CCXT's own structures, so that this class only asks, and keeps what CCXT expects beside them.
import ccxt, { BadRequest, BadSymbol, Exchange, ExchangeNotAvailable } from "ccxt";

const ID = "stellarticker";
// Most candles and trades of an answer, and most levels on each side of a book.
const LIMIT_MAX = 1000;
const LEVELS_MAX = 200;

// The parameters that are given. A time of 0 is one: from the oldest on.
function given(since, limit, most) {
  return {
    ...(since !== undefined && since !== null && { since }),
    ...(limit && { limit: Math.min(limit, most) }),
  };
}

export class StellarTicker extends Exchange {
  describe() {
    return this.deepExtend(super.describe(), {
      id: ID,
      name: "Stellar ticker",
      countries: [],
      version: "v1",
      rateLimit: 50,
      certified: false,
      pro: false,
      has: {
        CORS: true,
        spot: true,
        margin: false,
        swap: false,
        future: false,
        option: false,
        createOrder: false,
        fetchBalance: false,
        fetchCurrencies: false,
        fetchMarkets: true,
        fetchOHLCV: true,
        fetchOrderBook: true,
        fetchTicker: true,
        fetchTickers: true,
        fetchTrades: true,
      },
      timeframes: { "1m": "1m", "5m": "5m", "15m": "15m", "1h": "1h", "4h": "4h", "1d": "1d", "1w": "1w" },
      urls: { api: { public: "http://127.0.0.1:8080/api/v1/ccxt" }, doc: [] },
      api: { public: { get: ["markets", "ticker", "tickers", "orderbook", "trades", "ohlcv"] } },
      precisionMode: ccxt.TICK_SIZE,
    });
  }

  async fetchMarkets(params = {}) {
    const markets = await this.publicGetMarkets(params);
    return markets.map((market) => ({
      ...market,
      precision: { amount: Number(market.precision.amount), price: Number(market.precision.price) },
      limits: { amount: {}, price: {}, cost: {} },
      margin: false,
      swap: false,
      future: false,
      option: false,
      contract: false,
      info: market,
    }));
  }

  async fetchTicker(symbol, params = {}) {
    const market = await this.known(symbol);
    const ticker = await this.publicGetTicker({ symbol: market.id, ...params });
    return this.parsed(ticker);
  }

  async fetchTickers(symbols = undefined, params = {}) {
    await this.loadMarkets();
    const wanted = this.marketSymbols(symbols);
    const tickers = await this.publicGetTickers(params);
    return this.filterByArrayTickers(tickers.map((ticker) => this.parsed(ticker)), "symbol", wanted);
  }

  async fetchOrderBook(symbol, limit = undefined, params = {}) {
    const market = await this.known(symbol);
    const book = await this.publicGetOrderbook({ symbol: market.id, ...given(undefined, limit, LEVELS_MAX), ...params });
    return this.parseOrderBook(book, market.symbol, Number(book.timestamp));
  }

  async fetchTrades(symbol, since = undefined, limit = undefined, params = {}) {
    const market = await this.known(symbol);
    const question = { symbol: market.id, ...given(since, limit, LIMIT_MAX), ...params };
    const trades = await this.publicGetTrades(question);
    return trades.map((trade) =>
      this.safeTrade({
        ...trade,
        symbol: market.symbol,
        timestamp: Number(trade.timestamp),
        price: this.safeString(trade, "price"),
        amount: this.safeString(trade, "amount"),
        cost: this.safeString(trade, "cost"),
        info: trade,
      }),
    );
  }

  async fetchOHLCV(symbol, timeframe = "1m", since = undefined, limit = undefined, params = {}) {
    const market = await this.known(symbol);
    const question = { symbol: market.id, timeframe, ...given(since, limit, LIMIT_MAX), ...params };
    const candles = await this.publicGetOhlcv(question);
    return candles.map((candle) => candle.map(Number));
  }

  async known(symbol) {
    await this.loadMarkets();
    return this.market(symbol); // BadSymbol for an unknown one
  }

  // Numbers as CCXT keeps them. Null stays unknown. The symbol is the one under which the market was loaded: at the
  // server it may stand for another asset by now.
  parsed(ticker) {
    const [market] = this.markets_by_id?.[ticker.id] ?? [];
    const texts = ["high", "low", "bid", "ask", "vwap", "open", "close", "last", "change", "percentage", "average",
      "baseVolume", "quoteVolume"];
    const figures = Object.fromEntries(texts.map((name) => [name, this.safeNumber(ticker, name)]));
    return {
      ...ticker,
      ...figures,
      symbol: market?.symbol ?? ticker.id,
      timestamp: Number(ticker.timestamp),
      bidVolume: undefined,
      askVolume: undefined,
      previousClose: undefined,
      info: ticker,
    };
  }

  sign(path, api = "public", method = "GET", params = {}, headers = undefined, body = undefined) {
    const query = Object.keys(params).length ? `?${this.urlencode(params)}` : "";
    return { url: `${this.urls.api.public}/${path}${query}`, method, body, headers };
  }

  handleErrors(status, reason, url, method, headers, body, response) {
    if (status < 400) return undefined;
    const detail = `${this.id} ${response?.detail ?? body}`;
    // Without a reason of the ticker's, the answer is a proxy's.
    if (response?.detail && status === 404) throw new BadSymbol(detail);
    if (response?.detail && (status === 400 || status === 410)) throw new BadRequest(detail);
    // CCXT knows which of these statuses are worth another attempt. Others would pass for data.
    if (status in this.httpExceptions) return undefined;
    throw status >= 500 ? new ExchangeNotAvailable(detail) : new BadRequest(detail);
  }
}

ccxt[ID] = StellarTicker;
if (!ccxt.exchanges.includes(ID)) ccxt.exchanges.push(ID);

export default StellarTicker;
