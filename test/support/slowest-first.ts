import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that take longest, longest first, from `test/`. Measured alone, on two idle cores. */
const slowest: readonly string[] = ["integration/workers.test.ts", "integration/protocols.test.ts"];

/** Runs the slowest files first, so that all workers end at about the same time. */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId, project }: TestSpecification) => {
      const place = slowest.indexOf(relative(`${project.config.root}/test`, moduleId));
      return place === -1 ? slowest.length : place;
    };
    return (await super.sort(files)).sort((left, right) => rank(left) - rank(right));
  }
}
