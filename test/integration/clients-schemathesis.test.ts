import { writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { schemathesis } from "../support/client-tools.ts";
import { openApi } from "../support/openapi.ts";
import { run } from "../support/packages.ts";
import { reasonAgainstTools } from "../support/peer-tools.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newIssuer, settingsFor } from "../support/tokens.ts";

const reason = reasonAgainstTools([schemathesis]);

let app: TestApp;
let directory: TempDir;
let token: string;
beforeAll(async () => {
  directory = await tempDir();
  const issuer = await newIssuer();
  await writeFile(join(directory.path, "schemathesis.toml"), configuration);
  const contentRoot = resolve(import.meta.dirname, "../../examples/library");
  const tokens = await settingsFor(issuer, directory.path);
  app = await startTestApp({ settings: { ...tokens, contentRoot } });
  token = await issuer.token({ roles: ["admin", "storage"] });
});
afterAll(async () => {
  await app.stop();
  await directory.remove();
});

/** Operations with rules that no schema has: about the state of a session, or about several members together. */
const ruled = [
  "content.configuration.update",
  "content.library.item.download_session.cancel",
  "content.library.item.download_session.create",
  "content.library.item.download_session.fail",
  "content.library.item.download_session.keep_alive",
  "content.library.item.downloadsession.file.list_or_get",
  "content.library.item.downloadsession.file.prepare",
  "downlease.admin.end_logins",
  "downlease.admin.end_sessions",
  "downlease.admin.list_logins",
  "downlease.admin.list_sessions",
  "downlease.admin.update_settings",
];

const operations = Object.values(openApi.paths).flatMap((item) => Object.values(item));
const withBody = operations.filter(({ requestBody }) => requestBody !== undefined);

const configuration = `
# As vSphere, the service answers 404 to a method that a path does not have.
[checks.unsupported_method]
enabled = false

[[operations]]
include-operation-id = ${JSON.stringify(ruled)}
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "429", "503"]

# Members that are null count as unset, and are taken also where a schema has none.
[[operations]]
include-operation-id = ${JSON.stringify(withBody.map(({ operationId }) => operationId))}
checks.negative_data_rejection.enabled = false
`;

/** What a change of the settings does to other operations is nothing to be found here. */
const settings = "downlease.admin.update_settings";

for (const [scope, choice] of [
  ["all operations but the change of settings", "--exclude-operation-id"],
  ["the change of settings", "--include-operation-id"],
] as const) {
  const title = `Schemathesis finds no answer that is not described: ${scope}`;
  if (reason !== undefined) test.skip(`${title} (skipped: ${reason})`);
  else {
    test(title, { timeout: 180_000 }, async () => {
      const report = await reportOf(choice);
      expect(report).toMatch(/^=+ No issues found/m);
      const expected = choice === "--include-operation-id" ? 1 : operations.length - 1;
      expect(Number(/Tested: +(\d+)/.exec(report)?.[1])).toBe(expected);
    });
  }
}

async function reportOf(choice: string): Promise<string> {
  const options = ["--max-examples", "20", "--seed", "1", "--request-timeout", "10", "--warnings", "off"];
  const phases = ["--phases", "examples,coverage,fuzzing,stateful"];
  const { stdout } = await run(
    join(dirname(schemathesis.python), "st"),
    [
      ...["--config-file", join(directory.path, "schemathesis.toml"), "run", `${app.url}/openapi.json`],
      ...["--header", `Authorization: Bearer ${token}`, choice, settings, ...options, ...phases],
    ],
    { cwd: directory.path, timeout: 150_000 },
    // Its status says that it has found something.
  ).catch((error) => error);
  return stdout;
}
