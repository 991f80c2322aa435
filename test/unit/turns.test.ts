import { expect, it } from "vitest";
import { Turns } from "../../src/domain/turns.ts";
import { eventually } from "../support/eventually.ts";

it("pieces run one at a time in the order of their calls, and others get their turn between two of them", async () => {
  const turns = new Turns();
  const order: string[] = [];
  const piece = (name: string) => async () => {
    order.push(`${name} begins`);
    await new Promise(setImmediate);
    order.push(`${name} ends`);
  };
  const pieces = ["a", "b"].map((name) => turns.run(piece(name)));
  pieces.push(turns.run(() => void order.push("c")));
  setImmediate(() => order.push("other"));
  await Promise.all(pieces);
  expect(order.filter((each) => each !== "other")).toEqual(["a begins", "a ends", "b begins", "b ends", "c"]);
  expect(order.indexOf("other")).toBeLessThan(order.indexOf("b begins"));
});

it("pieces that nobody else waits for run at once", async () => {
  const turns = new Turns();
  expect(await turns.run(() => 1)).toBe(1);
  await eventually("the turn to be over", () => turns.run(async () => true));
});

it("a piece that fails ends those that wait for it, and none that comes later", async () => {
  const turns = new Turns();
  const failure = new Error("no answer");
  const outcomes = await Promise.allSettled([
    turns.run(async () => {
      throw failure;
    }),
    turns.run(() => "never"),
    turns.run(() => "never"),
  ]);
  expect(outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason)).toEqual([
    failure,
    failure,
    failure,
  ]);
  expect(await turns.run(() => "later")).toBe("later");
});
