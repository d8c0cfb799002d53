//! Ledgers of the simulated network, whose trades are known.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chrono::TimeZone as _;
use horizon_sim::{
    SimConfig, SimTrade, Simulation, TradeKind,
    lake::{EncodedLedger, LakeLedger, Shape, batch},
};
use ledger_metadata::{
    Ledger, LedgerContentError, LedgerError, LedgerTrade, MAX_DECOMPRESSED, Maker, Network, ObjectError,
    Verification, read_object,
};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use stellar_xdr::{self as xdr, Limits, ReadXdr as _, WriteXdr as _};

const PASSPHRASE: &str = "Simulated Network ; 2026";
const FIRST: u32 = 50_000_000;

fn simulation() -> Simulation {
    Simulation::new(&SimConfig { trades_per_second: 12.0, ..SimConfig::default() }).unwrap()
}

/// Consecutive ledgers from [`FIRST`], each with the hash of the one before.
fn encoded(simulation: &Simulation, count: u32) -> Vec<(Vec<SimTrade>, EncodedLedger)> {
    let mut previous = [0; 32];
    (FIRST..FIRST + count)
        .map(|sequence| {
            let trades = simulation.trades(sequence..=sequence);
            let ledger = ledger(simulation, sequence, previous, &trades).encode().unwrap();
            previous = ledger.hash;
            (trades, ledger)
        })
        .collect()
}

fn ledger<'a>(
    simulation: &Simulation,
    sequence: u32,
    previous: [u8; 32],
    trades: &'a [SimTrade],
) -> LakeLedger<'a> {
    let closed_at = simulation.closed_at(sequence);
    LakeLedger {
        passphrase: PASSPHRASE,
        sequence,
        closed_at,
        previous,
        trades,
        payments: 0,
        shape: Shape::of_ledger(sequence),
    }
}

fn read(bytes: &[u8]) -> Vec<Result<Ledger, LedgerError>> {
    read_object(bytes, Network::of(PASSPHRASE), Verification::Full).unwrap()
}

/// Fields of a trade as its maker sees it, as text.
fn fields(trade: &LedgerTrade) -> [String; 9] {
    let maker = match trade.maker {
        Maker::Account(key) => key.to_string(),
        Maker::Pool(id) => id.to_string(),
    };
    [
        trade.token.to_string(),
        trade.closed_at.0.to_string(),
        trade.sold.asset.to_string(),
        trade.sold.stroops.to_string(),
        trade.bought.asset.to_string(),
        trade.bought.stroops.to_string(),
        format!("{}/{}", trade.price_n, trade.price_d),
        maker,
        trade.buyer.to_string(),
    ]
}

fn expected(trade: &SimTrade) -> [String; 9] {
    let (maker, taker, n, d) = if trade.base_is_seller {
        (&trade.base, &trade.counter, trade.price_n, trade.price_d)
    } else {
        (&trade.counter, &trade.base, trade.price_d, trade.price_n)
    };
    [
        trade.id.to_string(),
        trade.closed_at.timestamp().to_string(),
        maker.asset.clone(),
        maker.amount.to_string(),
        taker.asset.clone(),
        taker.amount.to_string(),
        format!("{n}/{d}"),
        maker.account.clone().or_else(|| maker.pool.clone()).unwrap(),
        taker.account.clone().unwrap(),
    ]
}

#[test]
fn every_trade_of_300_ledgers_of_all_versions_is_read_as_it_was_made() {
    let simulation = simulation();
    let ledgers = encoded(&simulation, 300);
    let encoded: Vec<_> = ledgers.iter().map(|(_, ledger)| ledger.clone()).collect();
    let object = compress_to_vec(batch(FIRST, &encoded).as_slice(), CompressionLevel::Fastest);
    let read = read(&object);
    assert_eq!(read.len(), 300);
    let mut previous = None;
    let mut count = 0;
    for ((trades, encoded), ledger) in ledgers.iter().zip(read) {
        let ledger = ledger.unwrap();
        assert_eq!(ledger.hash.0, encoded.hash);
        assert!(previous.is_none_or(|hash| hash == ledger.previous), "ledger {}", ledger.sequence);
        previous = Some(ledger.hash);
        let read: Vec<_> = ledger.trades.iter().map(fields).collect();
        assert_eq!(read, trades.iter().map(expected).collect::<Vec<_>>());
        count += read.len();
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn a_stream_of_records_and_a_single_ledger_are_read_as_well() {
    let simulation = simulation();
    let ledgers = encoded(&simulation, 3);
    let mut stream = Vec::new();
    for (_, ledger) in &ledgers {
        let mark = u32::try_from(ledger.xdr.len()).unwrap() | 1 << 31;
        stream.extend(mark.to_be_bytes());
        stream.extend(&ledger.xdr);
    }
    let of_stream = read(&stream);
    assert_eq!(of_stream.len(), 3);
    assert_eq!(read(&ledgers[2].1.xdr), of_stream[2..]);
}

#[test]
fn a_swept_offer_is_no_trade_but_counts_in_the_order() {
    let simulation = simulation();
    let mut trades = simulation.trades(FIRST..=FIRST);
    let gone = trades.iter().position(|trade| {
        trade.id.order == 0 && {
            let next = trades.iter().find(|other| other.id.toid == trade.id.toid && other.id.order == 1);
            next.is_some()
        }
    });
    trades.remove(gone.unwrap());
    let encoded = ledger(&simulation, FIRST, [0; 32], &trades).encode().unwrap();
    let read = read(&encoded.xdr).remove(0).unwrap();
    assert_eq!(
        read.trades.iter().map(fields).collect::<Vec<_>>(),
        trades.iter().map(expected).collect::<Vec<_>>()
    );
}

#[test]
fn a_ledger_without_trades_is_whole_too() {
    let simulation = simulation();
    for shape in
        (0..3).flat_map(|close_meta| (1..=4).map(move |meta| Shape { close_meta, transaction_meta: meta }))
    {
        let encoded = LakeLedger { shape, ..ledger(&simulation, FIRST, [0; 32], &[]) }.encode().unwrap();
        assert_eq!(read(&encoded.xdr).remove(0).unwrap().trades, []);
    }
}

#[test]
fn a_ledger_of_another_network_is_refused() {
    let (_, ledger) = encoded(&simulation(), 1).remove(0);
    let read = read_object(&ledger.xdr, Network::of("Another Network"), Verification::Full).unwrap();
    assert!(
        matches!(read[0], Err(LedgerError { problem: LedgerContentError::UnknownTransaction(_), .. })),
        "{read:?}"
    );
}

#[test]
fn a_batch_must_hold_the_ledgers_that_it_announces() {
    let ledgers: Vec<_> = encoded(&simulation(), 2).into_iter().map(|(_, ledger)| ledger).collect();
    let announce = |bytes: &[u8]| read_object(bytes, Network::of(PASSPHRASE), Verification::Full);
    assert_eq!(announce(&batch(FIRST, &ledgers)).unwrap().len(), 2);
    let shifted = announce(&batch(FIRST + 1, &ledgers));
    assert_eq!(shifted, Err(ObjectError::Range { start: FIRST + 1, end: FIRST + 2 }));
}

#[test]
fn a_bomb_a_cut_frame_and_a_wrong_checksum_are_refused() {
    let (_, ledger) = encoded(&simulation(), 1).remove(0);
    let read = |bytes: &[u8]| read_object(bytes, Network::of(PASSPHRASE), Verification::Full);
    let bomb = compress_to_vec(std::io::repeat(0).take(300 << 20), CompressionLevel::Fastest);
    assert_eq!(read(&bomb), Err(ObjectError::TooLarge));
    // The decoder has the end of this one in its window when the limit is reached.
    let slightly = u64::try_from(MAX_DECOMPRESSED).unwrap() + 1_000;
    let slightly = compress_to_vec(std::io::repeat(0).take(slightly), CompressionLevel::Fastest);
    assert_eq!(read(&slightly), Err(ObjectError::TooLarge));
    let object = compress_to_vec(ledger.xdr.as_slice(), CompressionLevel::Fastest);
    assert!(matches!(read(&object[..object.len() / 2]), Err(ObjectError::Compression(_))));
    let mut wrong = object.clone();
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    assert!(matches!(read(&wrong), Err(ObjectError::Compression(_))));
    assert!(read(&object).unwrap()[0].is_ok());
}

#[test]
fn an_object_may_have_several_frames_and_some_without_content() {
    let (_, ledger) = encoded(&simulation(), 1).remove(0);
    let (first, second) = ledger.xdr.split_at(ledger.xdr.len() / 2);
    let frame = |part: &[u8]| compress_to_vec(part, CompressionLevel::Fastest);
    let empty = [&0x184d_2a57_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"note!"].concat();
    let object = [&empty[..], &frame(first), &empty, &frame(second), &empty].concat();
    assert!(read(&object)[0].is_ok());
    let cut = read_object(&object[..object.len() - 1], Network::of(PASSPHRASE), Verification::Full);
    assert!(matches!(cut, Err(ObjectError::Compression(_))));
}

#[test]
fn nothing_at_all_is_no_object() {
    for bytes in [&b""[..], b"\0", b"{}", &[0; 12], &[0xff; 64]] {
        assert!(read_object(bytes, Network::of(PASSPHRASE), Verification::Full).is_err(), "{bytes:?}");
    }
}

use std::io::Read as _;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Entry changes are covered by no hash. Everything else is: a changed byte may change a trade only in them, and
    /// then by a price that still explains the amounts.
    #[test]
    fn a_changed_byte_never_panics_and_never_changes_what_the_hashes_prove(
        position in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let simulation = simulation();
        let (trades, ledger) = encoded(&simulation, 1).remove(0);
        let mut bytes = ledger.xdr;
        let position = position.index(bytes.len());
        bytes[position] ^= flip;
        let Ok(read) = read_object(&bytes, Network::of(PASSPHRASE), Verification::Full) else { return Ok(()) };
        if let Some(Ok(ledger)) = read.first() {
            let proven = |mut fields: [String; 9]| {
                fields[6].clear();
                fields
            };
            let read: Vec<_> = ledger.trades.iter().map(fields).map(proven).collect();
            prop_assert_eq!(read, trades.iter().map(expected).map(proven).collect::<Vec<_>>());
            prop_assert!(ledger.trades.iter().all(LedgerTrade::price_explains_amounts));
        }
    }

    #[test]
    fn a_cut_object_is_refused(length in any::<prop::sample::Index>()) {
        let (_, ledger) = encoded(&simulation(), 1).remove(0);
        let cut = &ledger.xdr[..length.index(ledger.xdr.len())];
        prop_assert!(read_object(cut, Network::of(PASSPHRASE), Verification::Full).is_err());
    }
}

/// Price of the offers of [`of_one_offer`], which no other number of the ledger resembles.
const PRICE: (u32, u32) = (70_001, 20_003);
/// Amounts that this price explains: sold and bought.
const AMOUNTS: (i64, i64) = (20_003_000, 70_001_000);

/// Ledger of one trade with an offer, and of a signed payment.
fn of_one_offer() -> Vec<u8> {
    let simulation = simulation();
    let trades = simulation.trades(FIRST..=FIRST);
    let mut trade = trades.into_iter().find(|trade| trade.kind == TradeKind::Orderbook).unwrap();
    trade.base_is_seller = true;
    (trade.base.amount, trade.counter.amount) = AMOUNTS;
    (trade.price_n, trade.price_d) = (PRICE.0.into(), PRICE.1.into());
    let shape = Shape { close_meta: 1, transaction_meta: 2 };
    let trades = [trade];
    let signed = LakeLedger { payments: 1, shape, ..ledger(&simulation, FIRST, [7; 32], &trades) };
    let bytes = signed.encode().unwrap().xdr;
    assert_eq!(read(&bytes).remove(0).unwrap().trades.len(), 1);
    bytes
}

/// Reason why the ledger is refused once all these bytes are others of the same length.
fn problem_after(from: &[u8], to: &[u8]) -> LedgerContentError {
    let mut bytes = of_one_offer();
    let windows = bytes.windows(from.len()).enumerate();
    let places: Vec<_> = windows.filter(|(_, window)| *window == from).map(|(place, _)| place).collect();
    assert!(!places.is_empty(), "the ledger does not hold {from:?}");
    for place in places {
        bytes.get_mut(place..place + to.len()).unwrap().copy_from_slice(to);
    }
    read(&bytes).remove(0).unwrap_err().problem
}

/// Reason why the ledger is refused with another price of its offer.
fn problem_at_price(n: u32, d: u32) -> LedgerContentError {
    let price = |(n, d): (u32, u32)| [n.to_be_bytes(), d.to_be_bytes()].concat();
    problem_after(&price(PRICE), &price((n, d)))
}

#[test]
fn a_changed_amount_in_a_result_fails_the_hash_of_the_results() {
    let (sold, _) = AMOUNTS;
    let problem = problem_after(&sold.to_be_bytes(), &(sold + 1).to_be_bytes());
    assert_eq!(problem, LedgerContentError::ResultHash);
}

#[test]
fn a_changed_signature_fails_the_hash_of_the_transactions() {
    // The hint of each simulated signature, and the length of the signature.
    let (hint, length) = ([1, 2, 3, 4], 64_u32.to_be_bytes());
    let changed = [[1, 2, 3, 5], length].concat();
    let problem = problem_after(&[hint, length].concat(), &changed);
    assert_eq!(problem, LedgerContentError::TransactionSetHash);
}

#[test]
fn a_changed_byte_of_the_header_fails_its_hash() {
    // The hash of the bucket list.
    assert_eq!(problem_after(&[3; 32], &[4; 32]), LedgerContentError::HeaderHash);
}

#[test]
fn a_price_that_does_not_explain_the_amounts_is_refused() {
    let (n, d) = PRICE;
    for problem in [problem_at_price(n + 1, d), problem_at_price(n, d + 1)] {
        assert!(matches!(problem, LedgerContentError::Price(_)), "{problem}");
    }
}

/// A ledger that blanks a price would otherwise be stored as one whose trade sets none.
#[test]
fn an_offer_without_a_price_is_refused() {
    for (n, d) in [(0, 0), (PRICE.0, 0), (0, PRICE.1)] {
        let problem = problem_at_price(n, d);
        assert!(matches!(problem, LedgerContentError::Price(_)), "{n}/{d}: {problem}");
    }
}

#[test]
fn a_ledger_that_does_not_show_the_offer_is_refused() {
    let mut meta = xdr::LedgerCloseMeta::from_xdr(of_one_offer(), Limits::none()).unwrap();
    let xdr::LedgerCloseMeta::V1(ledger) = &mut meta else { panic!("not the version that was asked for") };
    let mut transactions = ledger.tx_processing.to_vec();
    for transaction in &mut transactions {
        let xdr::TransactionMeta::V2(of) = &mut transaction.tx_apply_processing else {
            panic!("not the version that was asked for")
        };
        let unchanged = xdr::OperationMeta { changes: xdr::LedgerEntryChanges(xdr::VecM::default()) };
        of.operations = vec![unchanged; of.operations.len()].try_into().unwrap();
    }
    ledger.tx_processing = transactions.try_into().unwrap();
    let problem = read(&meta.to_xdr(Limits::none()).unwrap()).remove(0).unwrap_err().problem;
    assert!(matches!(problem, LedgerContentError::NoOffer(_)), "{problem}");
}

#[test]
fn close_times_are_those_of_the_ledger() {
    let simulation = simulation();
    let closed_at = chrono::Utc.timestamp_opt(1_700_000_123, 0).unwrap();
    let encoded = LakeLedger { closed_at, ..ledger(&simulation, FIRST, [0; 32], &[]) }.encode().unwrap();
    assert_eq!(read(&encoded.xdr)[0].as_ref().unwrap().closed_at.0, 1_700_000_123);
}
