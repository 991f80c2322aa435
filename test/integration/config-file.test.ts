import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startService } from "../support/service.ts";
import { tempDir } from "../support/temp-dir.ts";

test("the program serves by a file, next to a Service of Kubernetes that is called downlease", async () => {
  await using directory = await tempDir();
  const [config, root] = [join(directory.path, "settings.yaml"), join(directory.path, "library")];
  await writeFile(config, `content-root: ${directory.path}\nlog-level: debug\nsqlite-path: ${root}.db\n`);
  const links = { DOWNLEASE_PORT: "tcp://10.0.0.1:80", DOWNLEASE_SERVICE_HOST: "10.0.0.1" };
  await using service = await startService(["--config", config], links);
  const line = (message: string) => service.logs.find(({ msg }) => msg === message);
  // The variables of `startService` win over the file.
  expect(line("serving")).toMatchObject({ contentRoot: directory.path, sessions: "SQLite :memory:" });
  expect(line("variables of Kubernetes' service links are ignored")).toMatchObject({
    variables: Object.keys(links),
  });
});
