//! The picture of `/actors`: the actors under the supervisor, and the messages between them.
//!
//! Positions of actors are written by hand, like the wiring. An actor or a sender without one stands in a row below.

use actor_tree::trace::flow::FlowView;

/// Size of the picture.
const WIDTH: i32 = 1_080;
const BOX: (i32, i32) = (160, 46);
/// Left edges of the columns, and tops of the rows.
const COLUMNS: [i32; 4] = [10, 250, 590, 900];
const ROWS: [i32; 6] = [40, 118, 196, 274, 352, 430];
/// Index of the row for actors and senders without a place. It is drawn only if there are any.
const SPARE: usize = 5;
/// Width of the bar of a mailbox.
const BAR: u64 = 144;
/// Widest line of a flow, for two messages a second or more.
const LINE_MAX: f64 = 5.0;

/// Places of the actors: column and row.
const PLACES: [(&str, usize, usize); 13] = [
    ("stream_ingester", 1, 0),
    ("backfiller", 1, 1),
    ("orderbook_poller", 1, 2),
    ("asset_poller", 1, 3),
    ("toml_checker", 1, 4),
    ("candle_keeper", 2, 0),
    ("aggregator", 2, 1),
    ("auditor", 2, 2),
    ("book_fetcher", 2, 4),
    ("lease_keeper", 3, 0),
    ("json_writer", 3, 1),
    ("cleaner", 3, 3),
    ("nginx", 3, 4),
];
/// Parts outside of the tree: name, what they are, column and row. Those in the spare row are drawn only if they
/// send.
const OUTSIDE: [(&str, &str, usize, usize); 5] = [
    ("Horizon", "ledgers, books, assets", 0, 1),
    ("Domains", "stellar.toml files", 0, 4),
    ("admin", "the operator", 2, 3),
    ("http", "reads what is published", 3, 2),
    ("signals", "of the system", 3, SPARE),
];
/// Connections that are not messages between actors.
const READS: [(&str, &str); 6] = [
    ("Horizon", "stream_ingester"),
    ("Horizon", "backfiller"),
    ("Horizon", "orderbook_poller"),
    ("Horizon", "asset_poller"),
    ("Domains", "toml_checker"),
    ("aggregator", "http"),
];

/// An actor as the picture needs it.
pub(super) struct Actor<'a> {
    pub(super) name: &'a str,
    pub(super) state: &'a str,
    pub(super) depth: u64,
    pub(super) capacity: u64,
    pub(super) high_water: u64,
    /// True if the page says so in words.
    pub(super) needs_attention: bool,
}

/// The picture.
pub(super) struct Graph {
    pub(super) width: i32,
    pub(super) height: i32,
    /// Left edge, top, width and height of the frame around all actors.
    pub(super) tree: (i32, i32, i32, i32),
    pub(super) nodes: Vec<NodeBox>,
    pub(super) outside: Vec<OutsideBox>,
    pub(super) edges: Vec<Edge>,
}

pub(super) struct NodeBox {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) x: i32,
    pub(super) y: i32,
    /// Lengths of the bar, and the place of its mark.
    pub(super) depth: u64,
    pub(super) peak: u64,
    pub(super) needs_attention: bool,
}

pub(super) struct OutsideBox {
    pub(super) name: &'static str,
    pub(super) note: &'static str,
    pub(super) x: i32,
    pub(super) y: i32,
}

pub(super) struct Edge {
    pub(super) path: String,
    pub(super) width: String,
    /// True if nothing was sent in the last minute, or if it is no message.
    pub(super) is_dotted: bool,
    pub(super) labels: Vec<Label>,
}

pub(super) struct Label {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) text: String,
    /// True if it ends at `x`.
    pub(super) is_left: bool,
}

impl Graph {
    /// Picture of these actors, and of the messages between them in the last minute.
    pub(super) fn of(actors: &[Actor<'_>], flow: &[FlowView]) -> Self {
        let mut spare = 0;
        let mut place = |name: &str| {
            placed(name).unwrap_or_else(|| {
                spare += 1;
                (COLUMNS[1] + (spare - 1) * (BOX.0 + 20), at(&ROWS, SPARE))
            })
        };
        let share = |count: u64, capacity: u64| count.min(capacity) * BAR / capacity.max(1);
        let nodes: Vec<NodeBox> = actors
            .iter()
            .map(|actor| {
                let (x, y) = place(actor.name);
                NodeBox {
                    name: actor.name.to_owned(),
                    state: actor.state.to_owned(),
                    x,
                    y,
                    depth: share(actor.depth, actor.capacity),
                    peak: share(actor.high_water, actor.capacity),
                    needs_attention: actor.needs_attention,
                }
            })
            .collect();
        let sends = |name: &str| flow.iter().any(|line| line.from == name);
        let drawn = OUTSIDE.iter().filter(|(name, .., row)| *row != SPARE || sends(name));
        let mut outside: Vec<OutsideBox> = drawn
            .map(|&(name, note, column, row)| OutsideBox {
                name,
                note,
                x: at(&COLUMNS, column),
                y: at(&ROWS, row),
            })
            .collect();
        for (name, _) in pairs(flow) {
            let is_known =
                nodes.iter().any(|node| node.name == name) || outside.iter().any(|part| part.name == name);
            if !is_known {
                let (x, y) = place(name);
                outside.push(OutsideBox { name, note: "", x, y });
            }
        }
        let find = |name: &str| {
            let node = nodes.iter().find(|node| node.name == name).map(|node| (node.x, node.y));
            node.or_else(|| outside.iter().find(|part| part.name == name).map(|part| (part.x, part.y)))
        };
        let mut edges: Vec<Edge> =
            READS.iter().filter_map(|(from, to)| Some(edge(find(from)?, find(to)?, &[]))).collect();
        for (from, to) in pairs(flow) {
            let messages: Vec<&FlowView> =
                flow.iter().filter(|line| (line.from, line.to) == (from, to)).collect();
            edges.extend(find(from).zip(find(to)).map(|(from, to)| edge(from, to, &messages)));
        }
        let tops = nodes.iter().map(|node| node.y).chain(outside.iter().map(|part| part.y));
        let bottom = tops.max().unwrap_or_default().max(ROWS[4]) + BOX.1 + 16;
        let left = COLUMNS[1] - 50;
        Self {
            width: WIDTH,
            height: bottom + 10,
            tree: (left, 8, WIDTH - left - 8, bottom - 8),
            nodes,
            outside,
            edges,
        }
    }
}

/// Returns true if the picture has a place for this name, written by hand.
#[cfg(test)]
pub(crate) fn has_place(name: &str) -> bool {
    placed(name).is_some() || OUTSIDE.iter().any(|(other, ..)| *other == name)
}

/// Senders and receivers, each pair once.
fn pairs(flow: &[FlowView]) -> Vec<(&'static str, &'static str)> {
    let mut pairs: Vec<_> = flow.iter().map(|line| (line.from, line.to)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn placed(name: &str) -> Option<(i32, i32)> {
    let (_, column, row) = PLACES.iter().find(|(other, ..)| *other == name)?;
    Some((at(&COLUMNS, *column), at(&ROWS, *row)))
}

fn at(places: &[i32], index: usize) -> i32 {
    places.get(index).copied().unwrap_or_default()
}

/// Line from one box to another, with the messages of the last minute.
fn edge(from: (i32, i32), to: (i32, i32), messages: &[&FlowView]) -> Edge {
    let rate: f64 = messages.iter().map(|line| line.per_s_1m).sum();
    let (width, height) = BOX;
    let (path, corner, is_left) = if from.0 == to.0 {
        let x = from.0 + width / 2;
        if (to.1 - from.1).abs() < 2 * height {
            // Neighbours in a column.
            let (start, end) = if to.1 > from.1 { (from.1 + height, to.1) } else { (from.1, to.1 + height) };
            (format!("M{x} {start}V{end}"), (x + 8, (start + end) / 2 + 4), false)
        } else {
            // Around those between them, on the left.
            let (start, end, out) = (from.1 + height / 2 + 8, to.1 + height / 2 - 8, from.0 - 34);
            let path = format!("M{0} {start}C{out} {start} {out} {end} {0} {end}", from.0);
            (path, (from.0 - 8, end - 6), true)
        }
    } else {
        let is_forward = to.0 > from.0;
        let start = (if is_forward { from.0 + width } else { from.0 }, from.1 + height / 2);
        // Those from above arrive above those from below.
        let shift = (from.1 - to.1).signum() * 8 + (from.1 - to.1) / 40;
        let end = (if is_forward { to.0 } else { to.0 + width }, to.1 + height / 2 + shift);
        let middle = (start.0 + end.0) / 2;
        let ((left, top), (right, bottom)) = (start, end);
        let path = format!("M{left} {top}C{middle} {top} {middle} {bottom} {right} {bottom}");
        (path, (start.0 + if is_forward { 8 } else { -8 }, start.1 - 5), !is_forward)
    };
    let sent = messages.iter().filter(|line| line.per_s_1m > 0.0);
    let labels = sent.zip([0, 17]).map(|(line, below)| Label {
        x: corner.0,
        y: corner.1 + below,
        text: format!("{} {:.2}/s", line.message, line.per_s_1m),
        is_left,
    });
    Edge {
        path,
        width: format!("{:.1}", (1.0 + rate * 2.0).min(LINE_MAX)),
        is_dotted: rate <= 0.0,
        labels: labels.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(name: &str) -> Actor<'_> {
        Actor { name, state: "idle", depth: 4, capacity: 16, high_water: 99, needs_attention: false }
    }

    fn line(from: &'static str, to: &'static str, message: &'static str, per_s_1m: f64) -> FlowView {
        FlowView { from, to, message, count: 1, per_s_1m, per_s_15m: 0.0 }
    }

    #[test]
    fn all_actors_and_all_pairs_are_in_the_picture() {
        let names: Vec<&str> =
            PLACES.iter().map(|(name, ..)| *name).chain(["a_new_one", "another"]).collect();
        let actors: Vec<Actor<'_>> = names.iter().map(|name| actor(name)).collect();
        let flow = [
            line("toml_checker", "aggregator", "AssetsCommitted", 0.25),
            line("toml_checker", "aggregator", "RankMarkets", 0.5),
            line("auditor", "backfiller", "RereadLedgers", 0.0),
            line("a_new_one", "aggregator", "Ping", 9.0),
            line("nobody", "aggregator", "Ping", 9.0),
            line("http", "book_fetcher", "FetchBook", 1.0),
            line("signals", "nginx", "ReloadNginx", 0.5),
        ];
        let graph = Graph::of(&actors, &flow);
        let mut places: Vec<(i32, i32)> = graph.nodes.iter().map(|node| (node.x, node.y)).collect();
        places.extend(graph.outside.iter().map(|part| (part.x, part.y)));
        let all = places.len();
        places.sort_unstable();
        places.dedup();
        assert_eq!((places.len(), graph.nodes.len()), (all, names.len()), "no box covers another");
        assert!(places.iter().all(|(x, y)| x + BOX.0 <= graph.width && y + BOX.1 <= graph.height));
        assert_eq!(
            (graph.nodes[0].depth, graph.nodes[0].peak),
            (BAR / 4, BAR),
            "the peak is cut at the capacity"
        );
        // In the order of their senders' names.
        let [new, none, asked, nameless, reload, both] = &graph.edges[READS.len()..] else {
            panic!("six pairs")
        };
        let texts = |edge: &Edge| edge.labels.iter().map(|label| label.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(nameless), ["Ping 9.00/s"], "a sender without a place gets one");
        assert_eq!(texts(reload), ["ReloadNginx 0.50/s"]);
        assert_eq!(texts(asked), ["FetchBook 1.00/s"]);
        assert_eq!(texts(both), ["AssetsCommitted 0.25/s", "RankMarkets 0.50/s"]);
        assert_eq!((both.width.as_str(), both.is_dotted), ("2.5", false));
        assert_eq!((texts(none), none.is_dotted), (vec![], true));
        assert_eq!((texts(new), new.width.as_str()), (vec!["Ping 9.00/s".to_owned()], "5.0"));
    }

    #[test]
    fn the_spare_row_is_drawn_only_if_somebody_stands_there() {
        let actors = [actor("nginx"), actor("aggregator")];
        let calm = Graph::of(&actors, &[line("admin", "aggregator", "AuditNow", 0.0)]);
        assert!(calm.outside.iter().all(|part| part.name != "signals"));
        let reloaded = Graph::of(&actors, &[line("signals", "nginx", "ReloadNginx", 0.0)]);
        assert!(reloaded.outside.iter().any(|part| part.name == "signals"));
        assert_eq!(reloaded.height - calm.height, ROWS[5] - ROWS[4]);
    }

    #[test]
    fn lines_begin_and_end_at_their_boxes() {
        let forward = edge((250, 40), (590, 118), &[]);
        assert_eq!(forward.path, "M410 63C500 63 500 132 590 132");
        let back = edge((590, 274), (250, 118), &[]);
        assert_eq!(back.path, "M590 297C500 297 500 152 410 152");
        assert_eq!(edge((250, 274), (250, 352), &[]).path, "M330 320V352");
        assert_eq!(edge((250, 40), (250, 274), &[]).path, "M250 71C216 71 216 289 250 289");
    }
}
