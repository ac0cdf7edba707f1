//! Tips: hints for clients and proxies, in Redis' words.

/// Some of them.
pub(crate) type Tips = &'static [&'static str];

pub(crate) const VARIES: Tips = &["nondeterministic_output"];
pub(crate) const VARIES_SPECIAL: Tips = &["nondeterministic_output", "request_policy:special"];
pub(crate) const VARIES_EVERYWHERE_SPECIAL: Tips = &[
    "nondeterministic_output",
    "request_policy:all_shards",
    "response_policy:special",
];
pub(crate) const ORDER_VARIES: Tips = &["nondeterministic_output_order"];
pub(crate) const SPLIT: Tips = &["request_policy:multi_shard"];
pub(crate) const SPLIT_ALL: Tips = &[
    "request_policy:multi_shard",
    "response_policy:all_succeeded",
];
pub(crate) const SPLIT_MIN: Tips = &["request_policy:multi_shard", "response_policy:agg_min"];
pub(crate) const SPLIT_SUM: Tips = &["request_policy:multi_shard", "response_policy:agg_sum"];
pub(crate) const EVERYWHERE_ALL: Tips =
    &["request_policy:all_shards", "response_policy:all_succeeded"];
pub(crate) const EVERYWHERE_SUM: Tips = &["request_policy:all_shards", "response_policy:agg_sum"];
pub(crate) const EVERYWHERE_VARIES: Tips =
    &["request_policy:all_shards", "nondeterministic_output"];
pub(crate) const EVERYWHERE_ORDER_VARIES: Tips =
    &["request_policy:all_shards", "nondeterministic_output_order"];
