import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LeaseTerms, Renewal } from "../../src/domain/session.ts";
import { longLoginTerms } from "../support/terms.ts";
import { backends } from "./backends.ts";
import {
  type Answer,
  everything,
  history,
  people,
  perform,
  type Replicas,
  sessionNumbers,
} from "./model-history.ts";
import { ModelData, ModelSessionStore } from "./model-session-store.ts";

const histories = 600;
const minuteMs = 60_000;
const terms: [LeaseTerms, LeaseTerms] = [
  { leaseMs: 60 * minuteMs, retentionMs: 20 * minuteMs, maxSessionsPerPrincipal: 2 },
  { leaseMs: 10 * minuteMs, retentionMs: 30 * minuteMs, maxSessionsPerPrincipal: 2 },
];

describe.each(backends)("$name", (backend) => {
  it(`gives the answers of the rules in ${histories} random histories`, async () => {
    const [one, other] = terms.map((leaseTerms) => ({ leaseTerms, loginTerms: longLoginTerms }));
    const instances = await backend.open(one!, other!);
    const outcomes = new Set<string>();
    try {
      const replicas: Replicas = [instances.one, instances.other];
      await fc.assert(
        fc.asyncProperty(history, async (steps) => {
          const namespace = randomUUID();
          const ids = sessionNumbers.map((number) => `${namespace}-${number}`);
          const owners = people.map((name) => `${namespace}-${name}`);
          const { pass, sinceStop, forget } = await instances.stopTime();
          const model = modelReplicas();
          const compare = (expected: Answer, answer: Answer) =>
            expect(withExpiry(answer, sinceStop)).toEqual(expected);
          for (const step of steps) {
            if (step.act === "pass") {
              model.clock.time += step.minutes * minuteMs;
              await pass(step.minutes * minuteMs, ids, owners);
              continue;
            }
            const expected = await perform(step, model.replicas, namespace);
            const expectedOutcomes = step.act === "keepAliveMany" ? (expected as Renewal[]) : [expected];
            for (const each of expectedOutcomes) outcomes.add(`${step.act}: ${outcomeOf(each)}`);
            compare(expected, await perform(step, replicas, namespace));
          }
          const expected = await everything(model.replicas, namespace);
          const answers = await everything(replicas, namespace);
          for (const [index, answer] of answers.entries()) compare(expected[index], answer);
          await forget?.(ids);
        }),
        { numRuns: histories },
      );
    } finally {
      await instances.close();
    }
    expect([...outcomes], "histories that meet every outcome").toEqual(
      expect.arrayContaining([
        "create: ACTIVE",
        "create: CANCELED",
        "create: ERROR",
        "create: too_many",
        "keepAlive: renewed",
        "keepAlive: not_found",
        "keepAlive: not_active",
        "keepAlive: invalid_progress",
        "keepAliveMany: renewed",
        "keepAliveMany: not_found",
        "keepAliveMany: not_active",
        "keepAliveMany: invalid_progress",
        "finish: finished",
        "finish: not_found",
        "finish: not_active",
        "delete: true",
        "delete: false",
        "get: ACTIVE",
        "get: CANCELED",
        "get: ERROR",
        "get: undefined",
        "files: undefined",
        "files: some",
        "files: none",
        "request: renewed",
        "request: not_found",
        "request: not_active",
        "recordSent: renewed",
        "recordSent: not_found",
        "recordSent: not_active",
      ]),
    );
  }, 60_000);
});

/** Replicas of the model, whose clock starts at 0. */
function modelReplicas() {
  const clock = { time: 0, now: () => clock.time };
  const data = new ModelData();
  const [one, other] = terms.map((leaseTerms) => {
    const store = new ModelSessionStore(leaseTerms, clock, data);
    return { sessions: store, sessionFiles: store };
  });
  return { clock, replicas: [one!, other!] satisfies Replicas };
}

/** The answer with its times of expiry converted. */
function withExpiry(answer: Answer | string, convert: (expiresAt: number) => number): unknown {
  if (Array.isArray(answer)) return answer.map((each) => withExpiry(each, convert));
  if (typeof answer === "object" && "files" in answer) {
    return { ...answer, session: withExpiry(answer.session, convert) };
  }
  if (typeof answer !== "object" || !("expiresAt" in answer) || answer.expiresAt === undefined) return answer;
  return { ...answer, expiresAt: convert(answer.expiresAt) };
}

function outcomeOf(answer: Answer): string {
  if (typeof answer !== "object") return String(answer);
  if ("files" in answer) return answer.files.size > 0 ? "some" : "none";
  if ("state" in answer && !("outcome" in answer)) return answer.state;
  return "outcome" in answer ? answer.outcome : "several";
}
