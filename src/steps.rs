//! Steps of work that traces show, in the one list of their names.

use actor_tree::trace::step::StepName;

/// Trades of the stream are collected into a batch: from the first record to the end of the batch.
pub const COLLECT: StepName = StepName("collect");
/// A page of history is read and its trades are collected into a batch.
pub const READ_HISTORY: StepName = StepName("read_history");
/// Ledgers of the lake are read and verified, and their trades are collected into a batch.
pub const READ_LEDGERS: StepName = StepName("read_ledgers");
/// A ledger that is held already is read again from its source and compared.
pub const READ_AGAIN: StepName = StepName("read_again");
/// A batch of trades, or a set of results such as books or candles, is written in one transaction.
pub const TRANSACTION: StepName = StepName("transaction");
/// The windows are read from the database as a whole.
pub const LOAD: StepName = StepName("load");
/// Everything committed since is read from the database.
pub const CATCH_UP: StepName = StepName("catch_up");
/// Rows of a publication that changed are rendered.
pub const RENDER: StepName = StepName("render");
/// The files of a publication are compressed.
pub const COMPRESS: StepName = StepName("compress");
/// The publication takes the place of the last one.
pub const PUBLISH: StepName = StepName("publish");
/// Changed files are written and renamed: the old ticker's, or those of the market API.
pub const WRITE_FILES: StepName = StepName("write_files");
/// From the publication to the first answer of it over HTTP.
pub const FIRST_ANSWER: StepName = StepName("first_answer");
/// Assets that are due are looked up at Horizon.
pub const LOOK_UP_ASSETS: StepName = StepName("look_up_assets");
/// stellar.toml files that are due are fetched.
pub const CHECK_TOML: StepName = StepName("check_stellar_toml");
/// Order books that are due are read.
pub const READ_BOOKS: StepName = StepName("read_books");
/// Published figures are compared with a recomputation.
pub const AUDIT: StepName = StepName("audit");
/// Candles are derived from committed trades.
pub const DERIVE_CANDLES: StepName = StepName("derive_candles");
/// Old trades or candles are dropped.
pub const CLEAN: StepName = StepName("clean");
/// Accounts behind markets are counted.
pub const COUNT_ACCOUNTS: StepName = StepName("count_accounts");
/// Request to Horizon. It is queued until the budget admits it, and ends with the answer.
pub const HORIZON_REQUEST: StepName = StepName("horizon_request");
