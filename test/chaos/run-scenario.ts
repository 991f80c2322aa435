import { tempDir } from "../support/temp-dir.ts";
import { check, type Findings } from "./checker.ts";
import { writeContent } from "./content.ts";
import type { Operation } from "./history.ts";
import { Lab, type Span } from "./lab.ts";
import { readinessViolations, recoveryViolations, type Sample, sampleReadiness } from "./readiness.ts";
import { makePrincipals } from "./replicas.ts";
import type { Scenario } from "./scenario.ts";
import type { Violation } from "./violation.ts";
import { runWorkload } from "./workload.ts";

export interface RunOptions {
  /** How long the clients work at least; as the scenario has it by default. */
  readonly seconds?: number | undefined;
  readonly seed: number;
  /** Ends the run early. */
  readonly signal: AbortSignal;
  /** Is given a line for each thing that happens. */
  progress(line: string): void;
}

export interface Result {
  readonly scenario: Scenario;
  readonly seconds: number;
  readonly findings: Omit<Findings, "violations">;
  /** Promises that were broken and had to be kept. */
  readonly violations: readonly Violation[];
  /** Promises that the store does not keep here, as documented. */
  readonly documented: readonly Violation[];
  /** When the clients began. */
  readonly origin: number;
  readonly history: readonly Operation[];
  readonly samples: readonly Sample[];
}

/** The principals of the clients, and that of the probe that watches readiness. */
const principals = ["alice", "bob"];
const prober = "prober";
/** One machine, one clock; a busy one may still read it late. */
const allowanceMs = 100;
/**
 * The service answers within a second or two, with UNAVAILABLE if need be. Clients give up after 6 s: this finds calls
 * that have no answer at all, also on a busy machine.
 */
const answerMs = 5500;
/** A download is cut within a second or two, and bytes that are on their way are read first. */
const cutMs = 4000;

/** Starts the servers of a scenario, lets clients work while it does things to them, and checks what they saw. */
export async function runScenario(scenario: Scenario, options: RunOptions): Promise<Result> {
  const { seed, signal, progress, seconds = scenario.seconds } = options;
  await using directory = await tempDir();
  const content = await writeContent(directory.path);
  const { flags, headers } = await makePrincipals([...principals, prober], directory.path);
  const { leaseSeconds } = scenario;
  await using lab = new Lab({
    content,
    flags: [...flags, "--lease-seconds", String(leaseSeconds)],
    runMs: seconds * 1000,
    signal,
    progress,
  });
  const disturb = await scenario.build(lab);
  signal.throwIfAborted();
  const over = new AbortController();
  const { [prober]: authorization, ...clients } = headers;
  lab.begin();
  const working = runWorkload({ url: lab.url, content, principals: clients, seed, until: over.signal });
  const [item] = content.items;
  const watching = sampleReadiness(lab.replicas, {
    authorization: authorization!,
    item: item!,
    until: over.signal,
  });
  try {
    await disturb();
  } finally {
    over.abort();
    await Promise.allSettled([working, watching]);
  }
  const [history, samples] = [await working, await watching];
  const worked = Math.max(...history.map(({ answeredAt }) => answeredAt)) - lab.origin;
  const leaseMs = leaseSeconds * 1000;
  const { violations, ...findings } = check(history, {
    leaseMs,
    retentionMs: leaseMs,
    allowanceMs,
    answerMs,
    cutMs: scenario.mayBeWithoutStore ? undefined : cutMs,
  });
  const isDocumented = (violation: Violation) => isLost(violation, scenario, lab.losable, history);
  return {
    scenario,
    seconds: worked / 1000,
    findings,
    violations: [
      ...violations.filter((violation) => !isDocumented(violation)),
      ...readinessViolations(samples, lab.origin),
      ...recoveryViolations(samples, lab.recoveries),
    ],
    documented: violations.filter(isDocumented),
    origin: lab.origin,
    history,
    samples,
  };
}

/** Whether what was acknowledged first belongs to what the store may lose. */
function isLost(
  { kind, session, operations }: Violation,
  { documented }: Scenario,
  losable: readonly Span[],
  history: readonly Operation[],
): boolean {
  if (!documented?.kinds.includes(kind)) return false;
  const suspects =
    kind === "not linearizable" ? history.filter((each) => each.session === session) : operations.slice(0, 1);
  // What was invoked before the end of that time may have been carried out in it, and answered later.
  return suspects.some(({ invokedAt, answeredAt }) =>
    losable.some(({ from, to }) => answeredAt >= from && invokedAt <= to),
  );
}
