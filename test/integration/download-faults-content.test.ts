import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import {
  type DownloadStage,
  downloadStage,
  largeBytes,
  loggedOutcomes,
  middle,
} from "../support/download-stage.ts";
import { expectNothingWrong, expectWhole, writeItem } from "../support/get.ts";

// Changes of a file while `downlease get` is in the middle of it.

// Whole programs are started, stopped and restarted.
vi.setConfig({ testTimeout: 180_000 });

let stage: DownloadStage;
beforeAll(async () => {
  stage = await downloadStage();
});
afterEach(() => stage.clear());
afterAll(() => stage[Symbol.asyncDispose]());

test("the file is overwritten in the middle: the result is the whole new version", async () => {
  const item = await writeItem(stage.contentRoot, "written-over", { "disk.img": largeBytes });
  const server = await stage.service();
  const { target, hold, get } = await stage.halfway(server.url, item);

  // The length is the same, so that it does not reveal the change.
  const changed = await writeItem(stage.contentRoot, item.id, { "disk.img": largeBytes }, { inPlace: true });
  hold.release();

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, changed);
  expect(loggedOutcomes(server)).toContain("content_changed");
});

test("the file is replaced and the connection breaks: nothing of the old version is used for the new one", async () => {
  const item = await writeItem(stage.contentRoot, "replaced", { "disk.img": largeBytes });
  const server = await stage.service();
  const { proxy, target, hold, get } = await stage.halfway(server.url, item, { breaks: true });

  const replaced = await writeItem(stage.contentRoot, item.id, { "disk.img": largeBytes });
  hold.release();

  expect(await get.ended()).toMatchObject({ code: 0 });
  await expectWhole(target, replaced);
  expect(proxy.downloads).toMatchObject([{ bytes: middle }, { from: 0, bytes: largeBytes }]);
});

test("the item is removed and the connection breaks: get ends with an error, and no file is in place", async () => {
  const item = await writeItem(stage.contentRoot, "removed", { "disk.img": largeBytes });
  const server = await stage.service();
  const { target, hold, get } = await stage.halfway(server.url, item, { breaks: true });

  await rm(join(stage.contentRoot, "lib", item.id), { recursive: true });
  hold.release();

  expect(await get.ended()).toMatchObject({ code: 3 });
  expect(await expectNothingWrong(target, item)).toEqual([]);
});
