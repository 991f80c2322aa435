import { join } from "node:path";
import { tempDir } from "../../support/temp-dir.ts";
import type { Lab } from "../lab.ts";
import type { Scenario } from "../scenario.ts";

async function sqlitePath(lab: Lab): Promise<string> {
  const directory = lab.stack.use(await tempDir());
  return join(directory.path, "sessions.db");
}

/** Faults of the service on an SQLite file. */
export const sqliteScenarios: readonly Scenario[] = [
  {
    name: "sqlite-crash",
    what: "One process on an SQLite file is killed (SIGKILL) and started again.",
    store: "SQLite",
    leaseSeconds: 20,
    seconds: 20,
    async build(lab) {
      const [replica] = await lab.startReplicas([["--sqlite-path", await sqlitePath(lab)]]);
      return async () => {
        while (lab.goesOn) {
          await lab.pause(3);
          lab.fault("SIGKILL of the service");
          await replica!.kill();
          await replica!.start();
          lab.healed("the service runs again", 2);
        }
        await lab.pause(2);
      };
    },
  },
  {
    name: "sqlite-two",
    what: "Two processes share an SQLite file; they are killed in turn.",
    store: "SQLite",
    leaseSeconds: 10,
    seconds: 25,
    async build(lab) {
      const args = ["--sqlite-path", await sqlitePath(lab)];
      const replicas = await lab.startReplicas([args, args]);
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          const number = turn % replicas.length;
          await lab.pause(3);
          lab.fault(`SIGKILL of process ${number + 1}`);
          await replicas[number]!.kill();
          await lab.pause(1);
          await replicas[number]!.start();
          lab.healed(`process ${number + 1} runs again`, 2);
        }
        await lab.pause(2);
      };
    },
  },
];
