/** Runs studies one after the other; one that fails does not keep the others from running. */
import { inspect } from "node:util";
import { missingOf, NeedMissing } from "./needs.ts";
import type { Bench, Study, StudyResult } from "./study.ts";

/** Without a result the study was skipped, or failed. */
export interface StudyRun {
  readonly study: Study;
  readonly result?: StudyResult;
  /** What this machine lacks. */
  readonly missing?: string;
  /** Why it failed. */
  readonly failure?: unknown;
  readonly seconds: number;
}

/**
 * @param skipsMissing whether a study is skipped when this machine lacks something that it needs
 * @throws NeedMissing for such a study when it is not skipped
 */
export async function runStudies(
  studies: readonly Study[],
  bench: Bench,
  { skipsMissing }: { readonly skipsMissing: boolean },
): Promise<StudyRun[]> {
  if (!skipsMissing) for (const study of studies) requireNeeds(study);
  bench.log(toDo(studies, bench));
  const runs: StudyRun[] = [];
  for (const [index, study] of studies.entries()) {
    const startedAt = performance.now();
    const outcome = await attempt(study, bench);
    if (outcome.missing !== undefined && !skipsMissing) throw new NeedMissing(outcome.missing, study.name);
    const run = { study, ...outcome, seconds: (performance.now() - startedAt) / 1000 };
    runs.push(run);
    bench.log(`${progressOf(run, bench)}; ${toDo(studies.slice(index + 1), bench)}`);
  }
  return runs;
}

async function attempt(study: Study, bench: Bench): Promise<Omit<StudyRun, "study" | "seconds">> {
  try {
    requireNeeds(study);
    return { result: await study.run(bench) };
  } catch (error) {
    return error instanceof NeedMissing ? { missing: error.needs } : { failure: error };
  }
}

function requireNeeds({ name, needs = [] }: Study): void {
  const missing = missingOf(needs);
  if (missing !== undefined) throw new NeedMissing(missing, name);
}

function progressOf({ study, missing, failure, seconds }: StudyRun, { options }: Bench): string {
  if (failure !== undefined) return `${study.name} failed: ${inspect(failure)}`;
  if (missing !== undefined) return `${study.name} not measured: needs ${missing}`;
  const { budgetSeconds } = study;
  const isLate = !options.isQuick && seconds > budgetSeconds * 1.25;
  return `${study.name} took ${seconds.toFixed(0)} s${isLate ? `, more than its ${budgetSeconds} s` : ""}`;
}

function toDo(studies: readonly Study[], { options }: Bench): string {
  if (studies.length === 0) return "that was the last study";
  const names = studies.map(({ name }) => name).join(", ");
  const seconds = studies.reduce((sum, { budgetSeconds }) => sum + budgetSeconds, 0);
  return `to do: ${names}${options.isQuick ? "" : ` (about ${Math.ceil(seconds / 60)} min)`}`;
}
