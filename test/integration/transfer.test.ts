import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256, type TransferRig, transferRig } from "../support/transfer-rig.ts";

const size = 1_000_003;
const bytes = randomBytes(size);
const digests = { SHA256: sha256(bytes), SHA512: createHash("sha512").update(bytes).digest("hex") };

let rig: TransferRig;
beforeAll(async () => {
  rig = await transferRig({
    preparations: {
      find: async (files) =>
        files.map(({ fileName }) => (fileName === "disk.bin" ? { state: "done", digests } : undefined)),
    },
  });
  await rig.addFile("disk.bin", bytes);
  await rig.addFile("empty.bin", "");
  await rig.addFile("naïve “disk” €.bin", "x");
});
afterAll(() => rig.stop());

test("whole file", async () => {
  const session = await rig.open();
  const response = await fetch(rig.url + rig.link(session, "disk.bin"));
  expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(digests.SHA256);
});
