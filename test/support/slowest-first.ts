import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files in `test/` that take longer than eight seconds, longest first. */
const slowest: readonly string[] = [
  "integration/redis-cluster.test.ts",
  "integration/workers.test.ts",
  "integration/download-service.test.ts",
  "integration/download-faults-client.test.ts",
  "integration/preparation.test.ts",
  "integration/clients.test.ts",
  "integration/bench-downloads.test.ts",
  "integration/download-faults-network.test.ts",
  "integration/s3-content.test.ts",
  "integration/protocols.test.ts",
  "integration/readme.test.ts",
  "contract/content-source.test.ts",
  "integration/bench.test.ts",
  "integration/download-sessions.test.ts",
  "integration/lease-keeper.test.ts",
  "integration/download.test.ts",
  "integration/cli-get.test.ts",
  "integration/download-process.test.ts",
  "integration/download-faults-server.test.ts",
  "integration/session-files.test.ts",
  "integration/cli-completion.test.ts",
  "contract/session-store.test.ts",
  "integration/download-ends.test.ts",
  "integration/shutdown.test.ts",
  "integration/s3-reading.test.ts",
  "contract/login-store.test.ts",
  "contract/session-file-store.test.ts",
  "integration/cli-sessions.test.ts",
  "integration/command-line.test.ts",
];

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
