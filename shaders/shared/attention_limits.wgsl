// What stands for masked scores and for queries without keys in the attention kernels, and conversions between logarithms.

const LOWEST: f32 = -3.0e38; // the score of a pair that is masked; finite, so that differences stay finite
const MASKED: f32 = -2.9e38; // a score at or below this is masked
const EMPTY_LSE: f32 = 3.0e38; // log-sum-exp of a query without any valid key
const LIVE_LSE: f32 = 1.0e38; // a log-sum-exp below this belongs to a query with a valid key
const LOG2_E: f32 = 1.4426950408889634;
const LN_2: f32 = 0.6931471805599453;
