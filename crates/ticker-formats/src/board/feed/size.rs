//! Size of the feed for the largest board: 30,000 markets of assets that have nothing in common.

use ticker_domain::{
    asset::Asset,
    directory::Directory,
    instant::UnixSeconds,
    listed_asset::ListedAsset,
    market::Market,
    orderbook::{BestPrices, PolledBook},
    price::Price,
    test_support::{address_of, book, listed, trade},
    windows::Windows,
};

use super::{Board, figures, names, sparks};
use crate::{Document, listings::ListingView, test_view::view_of};

const MARKETS: i64 = 30_000;
/// Markets of XLM. The others are of any two assets.
const MARKETS_OF_XLM: i64 = 12_000;
const ASSETS: usize = 18_600;
const KEYS: usize = 12_700;
const TRADES_MAX: i64 = 24;
const NOW: i64 = 1_000_000_000;
/// Ledger of this time, if one closes each second.
const LEDGER: i64 = 1_000_000;
/// A little less than the 7 days that the board looks back.
const SECONDS: i64 = 600_000;
/// Market of XLM and the dollar.
const DOLLAR: i32 = 1;
/// Most bytes of the three documents, compressed by brotli.
const BYTES_MAX: usize = 2_000_000;

/// Numbers that look random and are the same in each run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    /// Number from 0 up to `end`, without it.
    fn below(&mut self, end: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        i64::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 1).unwrap() % end
    }

    fn byte(&mut self, end: i64) -> u8 {
        u8::try_from(self.below(end)).unwrap()
    }

    /// Amount in stroops, of any size.
    fn amount(&mut self) -> i64 {
        10_i64.pow(self.byte(6).into()) * (1_000_000 + self.below(9_000_000))
    }
}

/// XLM, and assets of random codes and keys.
fn assets(numbers: &mut Numbers) -> Vec<Asset> {
    let keys: Vec<String> =
        (0..KEYS).map(|_| address_of(std::array::from_fn(|_| numbers.byte(256)))).collect();
    let mut assets = vec![Asset::Native];
    for key in keys.iter().cycle().take(ASSETS - 1) {
        let letters = 3 + numbers.below(5);
        let code: String = (0..letters).map(|_| char::from(b'A' + numbers.byte(26))).collect();
        assets.push(Asset::issued(&code, key).unwrap());
    }
    assets
}

/// Assets with the ids from 1 on. A third of them name a domain.
fn directory(assets: &[Asset], numbers: &mut Numbers) -> Directory {
    let mut directory = Directory::default();
    directory.add_names((1..).zip(assets.iter().copied()));
    let named = (1..).zip(assets).skip(1).step_by(3).map(|(id, asset)| {
        let toml_url = format!("https://d{}.example/.well-known/stellar.toml", numbers.below(2_000));
        (id, Some(ListedAsset { toml_url, ..listed(asset.code(), asset.issuer(), "") }))
    });
    directory.update_assets(named);
    directory
}

/// Ids of the base and the counter of the market at this place.
fn sides(place: i64, assets: &[Asset], numbers: &mut Numbers) -> (i32, i32) {
    let issued = i64::try_from(assets.len()).unwrap() - 1;
    let (one, other) = if place < MARKETS_OF_XLM {
        (0, place + 1)
    } else {
        let one = 1 + numbers.below(issued);
        (one, 1 + (one + numbers.below(issued - 1)) % issued)
    };
    let asset = |place: i64| assets[usize::try_from(place).unwrap()];
    let (_, is_turned) = Market::of(asset(one), asset(other)).unwrap();
    let (base, counter) = if is_turned { (other, one) } else { (one, other) };
    [base, counter].map(|place| i32::try_from(place + 1).unwrap()).into()
}

/// Prices of five digits and of any size, at random times of the week.
fn view() -> ListingView {
    let mut numbers = Numbers(18);
    let assets = assets(&mut numbers);
    let mut directory = directory(&assets, &mut numbers);
    let (mut markets, mut books, mut run) = (Vec::new(), Vec::new(), Vec::new());
    for (market, place) in (1..).zip(0..MARKETS) {
        let (base, counter) = sides(place, &assets, &mut numbers);
        markets.push((market, base, counter));
        let divisor = 10_i64.pow(numbers.byte(9).into());
        let mut price = 10_000 + numbers.below(90_000);
        let count = if market == DOLLAR { 0 } else { 1 + numbers.below(TRADES_MAX) };
        let mut ages: Vec<i64> = (0..count).map(|_| 1 + numbers.below(SECONDS)).collect();
        ages.sort_unstable();
        for (order, age) in (0..).zip(ages.into_iter().rev()) {
            price = (price + numbers.below(price / 10) - price / 20).max(1_000);
            let amounts = (numbers.amount(), numbers.amount());
            run.push((market, trade(LEDGER - age, order, NOW - age, amounts, (price, divisor))));
        }
        let [bid, ask] = [1_000 - numbers.below(30), 1_000 + numbers.below(30)]
            .map(|share| Price::new(price * share, divisor * 1_000));
        books.push((
            market,
            PolledBook { best: BestPrices { bid, ask }, fetched_at: UnixSeconds(NOW), ..book(1) },
        ));
    }
    directory.add_markets(markets);
    directory.update_books(books, true);
    // After trades in three minutes XLM has a price in dollars.
    for age in [180, 120, 60] {
        let amounts = (100_000_000_000, 50_000_000_000);
        run.push((DOLLAR, trade(LEDGER - age, 0, NOW - age, amounts, (1, 2))));
    }
    let mut windows = Windows::default();
    windows.advance(UnixSeconds(NOW));
    windows.add_run(&run);
    windows.advance(UnixSeconds(NOW));
    view_of(directory, &windows, &assets[1..2])
}

#[test]
fn the_feed_of_30_000_markets_has_two_megabytes_at_most() {
    let view = view();
    let board = Board::of(&view);
    assert_eq!(i64::try_from(board.rows().len()), Ok(MARKETS));
    let size = |bytes: Vec<u8>| Document::with_brotli(&bytes).unwrap().brotli.unwrap().len();
    let sizes = [names(&view, &board, 0), figures(&view, &board), sparks(&view, &board)].map(size);
    println!("names, figures and lines: {sizes:?} bytes");
    assert!(sizes.iter().sum::<usize>() <= BYTES_MAX, "{sizes:?}");
}
