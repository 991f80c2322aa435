import { collectDefaultMetrics, type Registry } from "@prometheus-io/client";

/** Metrics of Node.js whose names `promtool check metrics` refuses. What they show is in others by type, or in the lag. */
const misnamed = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
  "nodejs_eventloop_utilization_histogram",
  "nodejs_eventloop_utilization_summary",
];

/** Registers the metrics of the process and of Node.js. */
export function collectRuntimeMetrics(register: Registry): void {
  collectDefaultMetrics({ register });
  for (const name of misnamed) register.removeSingleMetric(name);
}
