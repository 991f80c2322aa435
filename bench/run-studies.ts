/** Runs studies one after the other. */
import { missingOf, NeedMissing } from "./needs.ts";
import type { Bench, Study, StudyResult } from "./study.ts";

export interface StudyRun {
  readonly study: Study;
  /** Undefined when the study was skipped. */
  readonly result?: StudyResult;
  /** What this machine lacks. */
  readonly missing?: string;
  readonly seconds: number;
}

/**
 * @param skipsMissing whether a study is skipped when this machine lacks something that it needs
 * @throws NeedMissing when such a study is not skipped
 */
export async function runStudies(
  studies: readonly Study[],
  bench: Bench,
  { skipsMissing }: { readonly skipsMissing: boolean },
): Promise<StudyRun[]> {
  if (!skipsMissing) for (const study of studies) requireNeeds(study);
  const runs: StudyRun[] = [];
  for (const [index, study] of studies.entries()) {
    const run = await runStudy(study, bench).catch((error: unknown): StudyRun => {
      if (!skipsMissing || !(error instanceof NeedMissing)) throw error;
      return { study, missing: error.needs, seconds: 0 };
    });
    runs.push(run);
    bench.log(`${progressOf(run, bench)}; ${remaining(studies.slice(index + 1), bench)}`);
  }
  return runs;
}

async function runStudy(study: Study, bench: Bench): Promise<StudyRun> {
  const startedAt = performance.now();
  requireNeeds(study);
  const result = await study.run(bench);
  return { study, result, seconds: (performance.now() - startedAt) / 1000 };
}

function requireNeeds({ name, needs = [] }: Study): void {
  const missing = missingOf(needs);
  if (missing !== undefined) throw new NeedMissing(missing, name);
}

function progressOf({ study, missing, seconds }: StudyRun, { options }: Bench): string {
  if (missing !== undefined) return `${study.name} not measured: needs ${missing}`;
  const { budgetSeconds } = study;
  const isLate = !options.isQuick && seconds > budgetSeconds * 1.25;
  return `${study.name} took ${seconds.toFixed(0)} s${isLate ? `, more than its ${budgetSeconds} s` : ""}`;
}

function remaining(studies: readonly Study[], { options }: Bench): string {
  if (studies.length === 0) return "that was the last study";
  const names = studies.map(({ name }) => name).join(", ");
  const seconds = studies.reduce((sum, { budgetSeconds }) => sum + budgetSeconds, 0);
  return `left: ${names}${options.isQuick ? "" : ` (about ${Math.ceil(seconds / 60)} min)`}`;
}
