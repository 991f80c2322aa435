import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DownloadSessionModel_State as State } from "../../gen/content/library/item/v1/download_session_pb.ts";
import {
  connect,
  type Downlease,
  LeaseKeeper,
  type LeaseKeeperOptions,
  LeaseLostError,
  type Renewal,
} from "../../src/client/index.ts";
import { eventually } from "../support/eventually.ts";
import { FaultServer, type FaultServerOptions } from "../support/fault-server.ts";

/** Long enough for a busy machine. */
const leaseMs = 900;
const anHour = 3_600_000;

let server: FaultServer;
let client: Downlease;
let session: string;
beforeEach(() => begin({ leaseMs }));
afterEach(end);

async function begin(options: FaultServerOptions): Promise<void> {
  server = await FaultServer.start(options);
  client = connect({ url: server.url });
  const { downloadSessionId } = await client.sessions.create({ createSpec: { libraryItemId: "item" } });
  session = downloadSessionId;
}

async function end(): Promise<void> {
  await client[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
}

function keep(options?: LeaseKeeperOptions): LeaseKeeper {
  return new LeaseKeeper(client, session, options);
}

const heartbeats = (count: number) =>
  eventually(`${count} heartbeats`, () => server.heartbeats.length >= count, { withinMs: 10_000 });

async function lossOf(keeper: LeaseKeeper): Promise<LeaseLostError> {
  await eventually("the lease to be lost", () => keeper.lost.aborted, { withinMs: 10_000 });
  expect(keeper.lost.reason).toBeInstanceOf(LeaseLostError);
  return keeper.lost.reason;
}

describe("a lease that is kept", () => {
  test("lasts many times its length, and ends once it is no longer kept", async () => {
    {
      await using keeper = keep();
      const since = server.sessions[0]!.expiresAt;
      await eventually("three leases to have gone by", () => Date.now() > since + 2 * leaseMs);
      expect(server.sessions[0]!.expiresAt).toBeGreaterThan(Date.now());
      expect(keeper.lost.aborted).toBe(false);
    }
    const sent = server.heartbeats.length;
    await eventually("the lease to be over", () => server.sessions[0]!.expiresAt < Date.now());
    expect(server.heartbeats).toHaveLength(sent);
  });

  test("is kept from the first moment", async () => {
    await end();
    await begin({ leaseMs: 60_000 });
    await using _ = keep();
    await heartbeats(1);
  });

  test("reports each renewal", async () => {
    const renewals: Renewal[] = [];
    await using keeper = keep({ onRenewed: (renewal) => renewals.push(renewal) });
    keeper.report(7.9);
    await eventually("two renewals", () => renewals.length >= 2);
    expect(renewals.at(-1)).toMatchObject({ progress: 7, leaseMs: expect.any(Number) });
    expect(renewals[0]!.leaseMs).toBeLessThanOrEqual(leaseMs);
    expect(renewals[1]!.expiresAt.getTime()).toBeGreaterThan(renewals[0]!.expiresAt.getTime());
  });

  test.each([anHour, -anHour])("is kept if the server's clock is %i ms ahead", async (clockAheadMs) => {
    await end();
    await begin({ leaseMs, clockAheadMs });
    await using keeper = keep();
    await heartbeats(8);
    expect(keeper.lost.aborted).toBe(false);
    expect(server.sessions).toHaveLength(1);
  });

  test.each([anHour, -anHour])(
    "is not renewed continuously if the server's clock is %i ms ahead",
    async (clockAheadMs) => {
      await end();
      await begin({ leaseMs: anHour, clockAheadMs });
      const renewals: Renewal[] = [];
      await using _ = keep({ onRenewed: (renewal) => renewals.push(renewal) });
      await eventually("the first renewal", () => renewals.length === 1);
      expect(renewals[0]!.leaseMs).toBeGreaterThan(anHour - 2_000);
      expect(renewals[0]!.leaseMs).toBeLessThanOrEqual(anHour);
    },
  );
});

describe("progress", () => {
  test("only rises, is a whole number, and is sent at the end", async () => {
    await end();
    await begin({ leaseMs: 60_000 });
    {
      await using keeper = keep();
      keeper.report(30);
      await heartbeats(1);
      keeper.report(20);
      keeper.report(55.7);
    }
    expect(server.sessions[0]!.progress).toBe(55);
    expect(server.heartbeats.length).toBe(2);
  });

  test.each([-1, 100.5, Number.NaN, Number.POSITIVE_INFINITY])("is not %d", async (progress) => {
    await using keeper = keep();
    expect(() => keeper.report(progress)).toThrow(RangeError);
  });
});

describe("a heartbeat that fails", () => {
  test("is repeated while the server restarts", async () => {
    server.leaseMs = 3_000;
    const failures: number[] = [];
    await using keeper = keep({ onRetry: (_, delayMs) => failures.push(delayMs) });
    await heartbeats(1);
    await server.crash();
    await eventually("failures", () => failures.length >= 2);
    await server.listen();
    await heartbeats(2);
    expect(keeper.lost.aborted).toBe(false);
  });

  test.each([Code.Unavailable, Code.DeadlineExceeded, Code.Internal, Code.Unauthenticated])(
    "with code %i is repeated for as long as the lease may last",
    async (code) => {
      server.leaseMs = 3_000;
      await using keeper = keep();
      await heartbeats(1);
      let failures = 3;
      server.beforeCall = () => {
        if (failures-- > 0) throw new ConnectError("not now", code);
      };
      await heartbeats(2);
      expect(keeper.lost.aborted).toBe(false);
      expect(failures).toBeLessThan(0);
    },
  );

  test("ends the lease when it must be over, not before", async () => {
    await using keeper = keep();
    await heartbeats(2);
    await server.crash();
    const endsAt = server.sessions[0]!.expiresAt;
    const { reason } = await lossOf(keeper);
    expect(reason).toBe("unreachable");
    expect(Date.now()).toBeGreaterThanOrEqual(endsAt);
  });

  test("is repeated without limit if the first one gets no answer", async () => {
    await server.crash();
    const failures: number[] = [];
    await using keeper = keep({ onRetry: (_, delayMs) => failures.push(delayMs) });
    await eventually("failures", () => failures.length >= 4);
    server.leaseMs = 60_000;
    await server.listen();
    // The session was not renewed in the meantime, and may have expired.
    await eventually("an answer", () => server.heartbeats.length > 0 || keeper.lost.aborted);
    if (keeper.lost.aborted) expect(keeper.lost.reason).toMatchObject({ reason: "not_found" });
  });
});

describe("a lease is lost", () => {
  test("when the session is gone", async () => {
    await using keeper = keep();
    await heartbeats(1);
    server.expireSessions();
    expect(await lossOf(keeper)).toMatchObject({
      reason: "not_found",
      message: expect.stringContaining(session),
    });
    const sent = server.heartbeats.length;
    await keeper[Symbol.asyncDispose]();
    expect(server.heartbeats).toHaveLength(sent);
  });

  test("when another client has canceled the session", async () => {
    await using keeper = keep();
    await heartbeats(1);
    for (const held of server.sessions) held.state = State.CANCELED;
    expect(await lossOf(keeper)).toMatchObject({ reason: "ended" });
  });

  test.each([Code.Unauthenticated, Code.PermissionDenied, Code.InvalidArgument])(
    "when the first heartbeat is refused with code %i",
    async (code) => {
      server.beforeCall = () => {
        throw new ConnectError("you may not", code);
      };
      await using keeper = keep();
      expect(await lossOf(keeper)).toMatchObject({ reason: "refused", cause: expect.any(ConnectError) });
    },
  );

  test("never after the keeper is disposed of", async () => {
    const keeper = keep();
    await heartbeats(1);
    await Promise.all([keeper[Symbol.asyncDispose](), keeper[Symbol.asyncDispose]()]);
    server.expireSessions();
    expect(keeper.lost.aborted).toBe(false);
  });
});

test("disposing of a keeper does not wait for a server that does not answer", async () => {
  await server.crash();
  const keeper = keep();
  keeper.report(50);
  await keeper[Symbol.asyncDispose]();
  expect(keeper.lost.aborted).toBe(false);
});
