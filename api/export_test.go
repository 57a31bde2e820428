package api

// Plan is plan, for the statistics of its draws.
var Plan = plan
