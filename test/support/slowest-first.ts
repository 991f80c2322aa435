import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * The files in `test/` that take longer than eight seconds: those that mostly wait first, then longest first. The tests
 * in a browser run after all others.
 */
const slowest: readonly string[] = [
  "integration/redis-cluster.test.ts",
  "integration/redis-recovery.test.ts",
  "integration/workers.test.ts",
  "integration/clients-conformance.test.ts",
  "integration/s3-content.test.ts",
  "integration/bench-run.test.ts",
  "integration/package.test.ts",
  "integration/protocols.test.ts",
  "integration/download-service.test.ts",
  "integration/binary.test.ts",
  "integration/readme.test.ts",
  "integration/download-faults-client.test.ts",
  "integration/download-faults-network.test.ts",
  "integration/session-files.test.ts",
  "integration/rpc-heartbeats.test.ts",
  "integration/download.test.ts",
  "integration/preparation.test.ts",
  "integration/operations.test.ts",
  "integration/rpc-lanes.test.ts",
  "integration/download-faults-redis.test.ts",
  "contract/content-source.test.ts",
  "integration/download-sessions.test.ts",
  "integration/download-faults-server.test.ts",
  "integration/bench.test.ts",
  "integration/bench-downloads.test.ts",
  "integration/chaos.test.ts",
  "integration/lease-keeper.test.ts",
  "integration/command-line.test.ts",
  "integration/redis-access.test.ts",
  "contract/session-store.test.ts",
  "integration/download-faults-content.test.ts",
  "integration/secrets.test.ts",
  "integration/cli-get.test.ts",
  "integration/authentication.test.ts",
  "integration/download-process.test.ts",
  "integration/redis-replicas.test.ts",
  "integration/download-faults-damage.test.ts",
  "integration/cli-server.test.ts",
  "unit/content-directory.test.ts",
  "integration/identity-protocols.test.ts",
  "integration/download-ends.test.ts",
  "integration/login.test.ts",
  "integration/silent-streams.test.ts",
  "contract/login-store.test.ts",
  "integration/sqlite-restart.test.ts",
  "integration/look-up.test.ts",
  "integration/sqlite-faults.test.ts",
  "integration/shutdown.test.ts",
  "integration/cli-get-places.test.ts",
  "integration/tracing.test.ts",
  "integration/rest-hostile.test.ts",
  "integration/s3-reading.test.ts",
  "integration/redis-readiness.test.ts",
  "integration/session-file-identity.test.ts",
  "integration/admin-watch.test.ts",
  "contract/session-file-store.test.ts",
  "integration/stream-places.test.ts",
  "integration/admin-sessions.test.ts",
  "integration/transfer-grace.test.ts",
  "integration/login-authentication.test.ts",
  "integration/removed-users.test.ts",
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
