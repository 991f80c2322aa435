import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { httpStatusOf } from "../../src/domain/errors.ts";
import { isClientToken, isIdentifier } from "../../src/domain/identifiers.ts";
import {
  existsFor,
  type FinalState,
  finish,
  hasRoom,
  isProgress,
  isRefusal,
  keepAlive,
  keptErrorMessage,
  type LeaseTerms,
  maxErrorMessageBytes,
  openSession,
  type Refusal,
  renewedUntil,
  reopenSession,
  type Session,
  tooManySessions,
} from "../../src/domain/session.ts";
import { callerNamed } from "../support/callers.ts";

const terms: LeaseTerms = { leaseMs: 300_000, retentionMs: 120_000 };
const now = Date.UTC(2026, 0, 1);
const spec = { id: "s-1", owner: "alice", libraryItemId: "item-1", contentVersion: "v7" };
const opened = openSession(spec, now, terms);
const finalStates: FinalState[] = ["CANCELED", "ERROR"];

const progress = fc.integer({ min: 0, max: 100 });
const time = fc.integer({ min: now, max: now + 10 * terms.leaseMs });
const length = fc.integer({ min: 1, max: 10 * terms.leaseMs });

/** The session that a rule was expected to give. */
function accepted(result: Session | Refusal): Session {
  if (isRefusal(result)) throw new Error(`refused: ${result.outcome}`);
  return result;
}

const finished = (state: FinalState, at = now) => accepted(finish(opened, state, undefined, at, terms));

describe("lease length", () => {
  it("is granted in full by create", () => {
    expect(opened).toEqual({ ...spec, state: "ACTIVE", progress: 0, expiresAt: now + terms.leaseMs });
  });

  it("is granted in full again by a keep-alive", () => {
    expect(accepted(keepAlive(opened, undefined, now + 1000, terms)).expiresAt).toBe(now + 301_000);
  });

  it("is granted in full again by a repeated create", () => {
    expect(reopenSession(opened, now + 1000, terms)).toEqual({ ...opened, expiresAt: now + 301_000 });
  });
});

describe("expiry", () => {
  it("comes exactly at expiresAt, for the owner and for an admin", () => {
    for (const caller of [callerNamed("alice"), callerNamed("root", "admin")]) {
      expect(existsFor(opened, caller, opened.expiresAt - 1)).toBe(true);
      expect(existsFor(opened, caller, opened.expiresAt)).toBe(false);
    }
  });
});

describe("states", () => {
  it("go from ACTIVE to CANCELED by cancel", () => {
    const canceled = finished("CANCELED");
    expect(canceled.state).toBe("CANCELED");
    expect(canceled).not.toHaveProperty("errorMessage");
  });

  it("go from ACTIVE to ERROR by fail, which keeps the client's message and the progress", () => {
    const halfway = { ...opened, progress: 50 };
    const failed = accepted(finish(halfway, "ERROR", "disk full", now, terms));
    expect(failed).toMatchObject({ state: "ERROR", errorMessage: "disk full", progress: 50 });
  });

  it.each(finalStates)("%s is final: neither cancel, fail nor keep-alive changes it", (state) => {
    const session = finished(state);
    const refusal = { outcome: "not_active", state };
    expect(finish(session, "CANCELED", undefined, now, terms)).toEqual(refusal);
    expect(finish(session, "ERROR", "again", now, terms)).toEqual(refusal);
    expect(keepAlive(session, 10, now, terms)).toEqual(refusal);
    expect(reopenSession(session, now + 1000, terms)).toEqual(session);
  });
});

describe("progress", () => {
  it("is stored when greater, kept when equal or lower, and the lease is renewed in each case", () => {
    fc.assert(
      fc.property(progress, progress, time, (stored, reported, at) => {
        const renewed = accepted(keepAlive({ ...opened, progress: stored }, reported, at, terms));
        expect(renewed.progress).toBe(Math.max(stored, reported));
        expect(renewed.expiresAt).toBe(at + terms.leaseMs);
      }),
    );
  });

  it("ends the same for any order and any repetition of heartbeats", () => {
    const heartbeats = fc.array(fc.option(progress, { nil: undefined }), { minLength: 1 });
    const arrivals = heartbeats.chain((sent) =>
      fc.tuple(fc.constant(sent), fc.shuffledSubarray([...sent, ...sent], { minLength: 2 * sent.length })),
    );
    const outcomeOf = (reports: (number | undefined)[]) =>
      reports.reduce((session, one) => accepted(keepAlive(session, one, now, terms)), opened);
    fc.assert(
      fc.property(arrivals, ([sent, arrived]) => {
        expect(outcomeOf(arrived)).toEqual(outcomeOf(sent));
      }),
    );
  });

  it("of 100 does not end the session", () => {
    const complete = accepted(keepAlive(opened, 100, now, terms));
    expect(complete).toMatchObject({ state: "ACTIVE", progress: 100 });
    expect(isRefusal(keepAlive(complete, 100, now, terms))).toBe(false);
  });

  it.each([-1, 101, 0.5, 99.999, Number.NaN, Number.POSITIVE_INFINITY, -(2 ** 63), 2 ** 63])(
    "of %d is refused",
    (value) => {
      expect(isProgress(value)).toBe(false);
      expect(keepAlive(opened, value, now, terms)).toEqual({ outcome: "invalid_progress" });
    },
  );

  it("may be any integer from 0 to 100", () => {
    fc.assert(
      fc.property(progress, (value) => {
        expect(isProgress(value)).toBe(true);
      }),
    );
  });
});

describe("order of checks", () => {
  it.each(finalStates)("the state %s is refused before a bad progress", (state) => {
    expect(keepAlive(finished(state), 101, now, terms)).toEqual({ outcome: "not_active", state });
  });
});

describe("final states", () => {
  it.each(finalStates)("%s stays readable for the retention time", (state) => {
    const at = now + terms.leaseMs - 1;
    expect(finished(state, at).expiresAt).toBe(at + terms.retentionMs);
  });
});

describe("expiration_time", () => {
  it("is a full length from now, or the earlier promise when that is later", () => {
    fc.assert(
      fc.property(time, time, length, (promised, at, lengthMs) => {
        const until = renewedUntil(promised, at, lengthMs);
        expect(until).toBeGreaterThanOrEqual(promised);
        expect(until).toBeGreaterThanOrEqual(at + lengthMs);
        expect([promised, at + lengthMs]).toContain(until);
      }),
    );
  });

  it("never moves back, with any calls under any terms", () => {
    const step = fc.record({
      act: fc.constantFrom("keepAlive", "reopen", "cancel", "fail"),
      at: time,
      terms: fc.record({ leaseMs: length, retentionMs: length }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1 }), (steps) => {
        let session = opened;
        for (const { act, at, terms } of steps) {
          const result = {
            keepAlive: () => keepAlive(session, undefined, at, terms),
            reopen: () => reopenSession(session, at, terms),
            cancel: () => finish(session, "CANCELED", undefined, at, terms),
            fail: () => finish(session, "ERROR", "failed", at, terms),
          }[act]();
          if (isRefusal(result)) continue;
          expect(result.expiresAt).toBeGreaterThanOrEqual(session.expiresAt);
          session = result;
        }
      }),
    );
  });
});

describe("create", () => {
  it("repeated leaves content, progress and content version alone", () => {
    const halfway = { ...opened, progress: 50 };
    const { expiresAt: _before, ...kept } = halfway;
    expect(reopenSession(halfway, now + 1, terms)).toMatchObject(kept);
  });
});

describe("client_token", () => {
  it("is UUID text of any version and case", () => {
    fc.assert(
      fc.property(fc.uuid(), fc.boolean(), (token, upper) => {
        expect(isClientToken(upper ? token.toUpperCase() : token)).toBe(true);
      }),
    );
    expect(isClientToken("00000000-0000-0000-0000-000000000000")).toBe(true);
  });

  it.each(["", "token", "{b7d7c2f4-0c0e-4a0e-8d2b-5f0d4b7f3a11}", "b7d7c2f40c0e4a0e8d2b5f0d4b7f3a11"])(
    "'%s' is not valid",
    (token) => expect(isClientToken(token)).toBe(false),
  );

  it("has nothing around it", () => {
    const token = "b7d7c2f4-0c0e-4a0e-8d2b-5f0d4b7f3a11";
    for (const text of [` ${token}`, `${token} `, `${token}\n`, `x${token}`]) {
      expect(isClientToken(text), JSON.stringify(text)).toBe(false);
    }
  });
});

describe("ids", () => {
  it.each(["s", "obj-103", "a b", "{}", "__proto__", "ключ", "😀", "x".repeat(256), "é".repeat(128)])(
    "'%s' is one",
    (id) => expect(isIdentifier(id)).toBe(true),
  );

  it("are at most 256 bytes of UTF-8", () => {
    for (const id of ["", "x".repeat(257), `${"é".repeat(128)}x`, "😀".repeat(65)]) {
      expect(isIdentifier(id), `${Buffer.byteLength(id)} bytes`).toBe(false);
    }
  });

  it("carry neither control characters nor half a surrogate pair", () => {
    for (const bad of ["\0", "\n", "\u001f", "\u007f", "\u0085", "\u009f", "\ud83d"]) {
      expect(isIdentifier(`a${bad}b`), JSON.stringify(bad)).toBe(false);
    }
  });
});

describe("whose session", () => {
  it("exists for its owner and for an admin, and for nobody else", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.boolean(), (principal, admin) => {
        const caller = admin ? callerNamed(principal, "admin") : callerNamed(principal);
        expect(existsFor(opened, caller, now)).toBe(admin || principal === "alice");
      }),
    );
    expect(existsFor(opened, callerNamed("alice"), now)).toBe(true);
  });
});

describe("a client's error message", () => {
  const text = fc.string({ unit: "binary", maxLength: 1_500 });

  it("is kept whole up to 1,024 bytes of UTF-8", () => {
    for (const kept of ["", "disk full", "x".repeat(1_024), "é".repeat(512), "𝄞".repeat(256)]) {
      expect(keptErrorMessage(kept)).toBe(kept);
    }
  });

  it("is cut between two characters, and ends with an ellipsis, when it is longer", () => {
    expect(keptErrorMessage("x".repeat(1_025))).toBe(`${"x".repeat(1_021)}…`);
    expect(keptErrorMessage("é".repeat(513))).toBe(`${"é".repeat(510)}…`);
    expect(keptErrorMessage("𝄞".repeat(50_000))).toBe(`${"𝄞".repeat(255)}…`);
    fc.assert(
      fc.property(text, (message) => {
        const kept = keptErrorMessage(message);
        if (Buffer.byteLength(message) <= maxErrorMessageBytes) return kept === message;
        const bytes = Buffer.byteLength(kept);
        const isFull = bytes > maxErrorMessageBytes - 4 && bytes <= maxErrorMessageBytes;
        return isFull && kept.endsWith("…") && message.startsWith(kept.slice(0, -1));
      }),
    );
  });
});

describe("the quota", () => {
  it("lets an owner have as many sessions as the terms say, or any number", () => {
    expect(
      [0, 1, 2, 3].map((sessions) => hasRoom(sessions, { ...terms, maxSessionsPerPrincipal: 2 })),
    ).toEqual([true, true, false, false]);
    const { kind } = tooManySessions(terms);
    expect([httpStatusOf(kind, "rest"), httpStatusOf(kind, "api")], "as vSphere answers").toEqual([400, 500]);
    expect([hasRoom(1e9, terms), hasRoom(1e9, { ...terms, maxSessionsPerPrincipal: 0 })]).toEqual([
      true,
      true,
    ]);
  });
});
