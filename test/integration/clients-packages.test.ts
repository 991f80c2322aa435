import { afterAll, beforeAll, expect, test } from "vitest";
import { attw } from "../support/client-tools.ts";
import { installPackages, type Project, run } from "../support/packages.ts";
import { reasonAgainstTools } from "../support/peer-tools.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const reason = reasonAgainstTools([attw]);

let scratch: TempDir;
let project: Project;
beforeAll(async () => {
  scratch = await tempDir();
  if (reason === undefined) project = await installPackages(scratch.path);
}, 240_000);
afterAll(() => scratch.remove());

for (const name of ["downlease", "client"] as const) {
  const title = `attw finds the declarations of the package ${name} right`;
  if (reason !== undefined) test.skip(`${title} (skipped: ${reason})`);
  else {
    test(title, async () => {
      const args = ["--pack", project.dist[name], "--profile", "esm-only", "--format", "json"];
      const { stdout } = await run(attw.path, args, { maxBuffer: 2 ** 26 });
      const { analysis } = JSON.parse(stdout);
      expect(Object.keys(analysis.entrypoints).length).toBeGreaterThanOrEqual(2);
      const kinds = ["node16-esm", "bundler"];
      type Problem = { resolutionKind?: string };
      const problems = (analysis.problems as Problem[]).filter(
        ({ resolutionKind }) => resolutionKind === undefined || kinds.includes(resolutionKind),
      );
      expect(problems).toEqual([]);
    });
  }
}
