use super::*;
use crate::{
    domain::{instant::UnixSeconds, test_support::address},
    horizon::wire,
};

pub(crate) fn received(ledger: u32, order: i32) -> ReceivedTrade {
    let record = serde_json::json!({
        "paging_token": format!("{}-{order}", (i64::from(ledger) << 32) + 4097),
        "ledger_close_time": UnixSeconds(1_795_457_237).to_rfc3339(),
        "base_amount": "1.0", "base_asset_type": "native", "base_account": address(1),
        "counter_amount": "2.0", "counter_asset_type": "credit_alphanum4", "counter_asset_code": "TEA",
        "counter_asset_issuer": address(2), "counter_account": address(3), "base_is_seller": true,
        "price": {"n": "2", "d": "1"}
    });
    wire::trade(serde_json::to_vec(&record).unwrap().into(), None).unwrap()
}

fn token(ledger: u32) -> PagingToken {
    received(ledger, 0).trade.token
}

fn refused(ledger: u32) -> RecordError {
    RecordError { token: Some(token(ledger)), reason: "x".into(), raw: "{}".into() }
}

/// Makes trades in these ledgers, in this order.
fn records(ledgers: &[u32]) -> Records {
    ledgers.iter().map(|ledger| Ok(received(*ledger, 0))).collect()
}

fn ledgers(page: &Page) -> Vec<u32> {
    page.trades.keys().map(|token| token.ledger()).collect()
}

#[test]
fn a_sound_page_goes_strictly_down_from_its_cursor_and_holds_only_trades() {
    assert!(is_sound(&records(&[9, 8, 3]), Some(token(10))) && is_sound(&records(&[9, 8]), None));
    assert!(is_sound(&records(&[]), Some(token(10))));
    assert!(!is_sound(&records(&[10, 9]), Some(token(10))), "the cursor itself was not asked for");
    assert!(!is_sound(&records(&[9, 9]), None), "a repeat");
    assert!(!is_sound(&records(&[8, 9]), Some(token(10))), "out of order");
    assert!(!is_sound(&vec![Ok(received(9, 0)), Err(refused(8))], None), "a record that is no trade");
}

#[test]
fn a_page_below_a_trade_must_hold_that_trade() {
    let place = Place::Trade(token(9));
    assert_eq!(place.asked(), Some(token(9).next()));
    let mut whole = records(&[9, 8, 7]);
    assert!(place.is_reached(&mut whole) && whole.len() == 2 && is_sound(&whole, place.cursor()));
    let mut spoilt = vec![Err(refused(9)), Ok(received(8, 0))];
    assert!(place.is_reached(&mut spoilt) && spoilt.len() == 1, "it was a trade in another answer");
    assert!(!place.is_reached(&mut records(&[7, 6])), "a server that is behind");
    for free in [Place::Top, Place::Position(token(9))] {
        assert!(free.is_reached(&mut records(&[7, 6])) && free.asked() == free.cursor());
    }
    assert_eq!(Page::of(records(&[9, 7]), None).next_place(), Some(Place::Trade(token(7))));
    assert_eq!(Page::of(vec![Err(refused(5))], None).next_place(), Some(Place::Position(token(5))));
}

#[test]
fn a_page_is_full_with_all_the_records_that_were_asked_for() {
    let limit = usize::try_from(LIMIT_MAX).unwrap();
    let page = |count: usize| (0..count).map(|_| Err(refused(5))).collect::<Records>();
    assert!(is_full(&page(limit), LIMIT_MAX) && !is_full(&page(limit - 1), LIMIT_MAX));
    assert!(is_full(&page(2), 2) && !is_full(&page(1), 2));
}

#[test]
fn a_page_holds_what_lies_below_its_cursor_and_begins_the_next_at_its_lowest_trade() {
    let mut mixed = records(&[11, 10, 9, 7]);
    mixed.extend([Err(refused(8)), Err(refused(5))]);
    let page = Page::of(mixed, Some(token(10)));
    assert_eq!((ledgers(&page), page.refused.len(), page.is_last), (vec![7, 9], 2, false));
    assert_eq!(page.lowest(), Some(token(7)), "a record that is no trade may have a false position");
    let odd = Page::of(vec![Err(refused(8)), Err(refused(5)), Err(refused(6))], None);
    assert_eq!(odd.lowest(), Some(token(5)), "there is no trade to go by");
    assert_eq!(Page::default().lowest(), None);
}

#[test]
fn another_answer_adds_its_trades_and_replaces_spoiled_records() {
    let mut union = Page::of(vec![Ok(received(9, 0)), Err(refused(8)), Err(refused(6))], None);
    union.absorb(Page::of(vec![Ok(received(8, 0)), Err(refused(7))], None));
    assert_eq!(ledgers(&union), [8, 9]);
    let refused: Vec<_> = union.refused.iter().filter_map(|refused| refused.token).collect();
    assert_eq!(refused, [token(6), token(7)]);
}

/// The same position with another amount.
fn other(ledger: u32) -> ReceivedTrade {
    let mut other = received(ledger, 0);
    other.trade.price_n = 3;
    other
}

#[test]
fn of_two_trades_with_one_position_the_first_counts_and_the_other_is_kept_as_its_double() {
    let price = |page: &Page| page.trades.values().map(|received| received.trade.price_n).collect::<Vec<_>>();
    let doubles = |page: &Page| page.doubles.iter().map(|double| double.trade.price_n).collect::<Vec<_>>();
    let twice = || Page::of(vec![Ok(received(9, 0)), Ok(other(9)), Ok(received(9, 0)), Ok(other(9))], None);
    assert_eq!((price(&twice()), doubles(&twice())), (vec![2], vec![3]), "a repeat is no double");
    let mut union = Page::of(vec![Ok(other(9)), Ok(other(8))], None);
    union.absorb(twice());
    assert_eq!((price(&union), doubles(&union)), (vec![3, 3], vec![2]));
    let mut sound = Page::of(records(&[9]), None);
    sound.add_doubles(union);
    assert_eq!((price(&sound), doubles(&sound)), (vec![2], vec![3]), "and no trade of another answer");
    let mut joined = Page::of(records(&[10]), None);
    joined.join(sound);
    assert_eq!(joined.doubles.len(), 1);
    joined.keep_from(token(9));
    joined.keep_below(token(10));
    assert_eq!((ledgers(&joined), joined.doubles.len()), (vec![9], 1));
    joined.keep_below(token(9));
    assert!(joined.doubles.is_empty());
}

#[test]
fn a_record_that_is_no_trade_leads_far_down_only_if_nothing_lies_between() {
    let cursor = Some(token(1_000));
    let far = |ledgers: &[u32]| {
        Page::of(ledgers.iter().map(|ledger| Err(refused(*ledger))).collect(), cursor).far_below(cursor)
    };
    assert_eq!(far(&[1_000 - HOLE_LEDGERS_MIN]), None);
    assert_eq!(far(&[900, 799]), Some((token(799), token(1_000))));
    let with_a_trade = Page::of(vec![Ok(received(990, 0)), Err(refused(7))], cursor);
    assert_eq!(with_a_trade.far_below(cursor), None, "its lowest trade counts");
    let page = Page::of(vec![Err(refused(900)), Err(refused(700))], cursor);
    let confirmed = |above: Records| page.is_confirmed_by(&above, token(1_000));
    assert!(confirmed(vec![Err(refused(900)), Ok(received(1_000, 0))]));
    assert!(confirmed(records(&[1_001])) && confirmed(vec![Err(refused(900)), Err(refused(1_000))]));
    assert!(!confirmed(records(&[999, 1_000])), "a trade between");
    assert!(!confirmed(vec![Err(refused(800)), Ok(received(1_000, 0))]), "a record that the page lacks");
    assert!(!confirmed(vec![Err(refused(900))]) && !confirmed(Vec::new()), "the page does not go so far");
}

#[test]
fn a_page_is_cut_at_a_trade_and_shows_what_lies_below_it_if_it_goes_further() {
    let page = |is_last| Page { is_last, ..Page::of(records(&[9, 8, 7]), None) };
    let mut below = page(false);
    assert!(below.reaches_below(token(8)) && !below.reaches_below(token(7)));
    assert!(page(true).reaches_below(token(7)), "nothing lies below");
    below.keep_below(token(8));
    assert_eq!(ledgers(&below), [7]);
    let mut above = page(true);
    above.keep_from(token(8));
    assert_eq!((ledgers(&above), above.is_last), (vec![8, 9], false));
}

#[test]
fn the_page_below_decides_whether_both_are_the_last() {
    let mut page = Page::of(records(&[9, 8]), None);
    let mut below = Page::of(vec![Ok(received(7, 0)), Err(refused(6))], None);
    below.is_last = true;
    page.join(below);
    assert_eq!((ledgers(&page), page.refused.len(), page.is_last), (vec![7, 8, 9], 1, true));
}

#[test]
fn a_trade_far_below_its_neighbour_is_confirmed_by_the_trades_above_it() {
    let far = HOLE_LEDGERS_MIN + 1;
    let page = Page::of(records(&[990, 980, 980 - far]), Some(token(1_000)));
    let jump = (token(980), token(980 - far));
    assert_eq!(page.jumps(Some(token(1_000))), [jump]);
    assert_eq!(page.jumps(Some(token(990 + far))), [(token(990 + far), token(990)), jump], "also the cursor");
    assert!(Page::of(records(&[990, 990 - HOLE_LEDGERS_MIN]), None).jumps(None).is_empty());
    assert!(page.is_confirmed_by(&records(&[980, 990]), token(980)));
    assert!(!page.is_confirmed_by(&records(&[979, 980]), token(980)), "a trade that the page lacks");
}
