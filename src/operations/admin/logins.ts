import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AdminService,
  EndLoginsResponseSchema,
  ListLoginsResponseSchema,
  ListUsersResponseSchema,
  type LoginInfoSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { type Operation, operation } from "../../calls/pipeline.ts";
import { ServiceError } from "../../domain/errors.ts";
import { isLoginDigest } from "../../domain/login.ts";
import type { LoginRecord, LoginStore } from "../../domain/login-store.ts";
import { cursorIn, pageToken } from "../../domain/page-token.ts";
import { proofKindOf } from "../../domain/proof.ts";
import { rolesIn } from "../../domain/roles.ts";
import type { Caller } from "../../domain/session.ts";
import { identifier } from "../arguments.ts";
import { turnFor } from "../long-lists.ts";
import { pageSizeOf } from "./sessions.ts";

const rpc = AdminService.method;

/** Login sessions that one request may name, and that are ended together. */
const maxIds = 1_000;

export interface AdminLoginParts {
  readonly logins: Pick<LoginStore, "page" | "end">;
  /** The users of the users file. */
  readonly users: () => Iterable<readonly [name: string, user: { readonly caller: Caller }]>;
}

/** The operations of `downlease.admin` about login sessions and users. */
export function adminLoginOperations({ logins, users }: AdminLoginParts): Operation[] {
  return [
    operation({
      method: rpc.listLogins,
      isAdministration: true,
      async run({ principal: name, pageSize, pageToken: token }) {
        const principal = name === undefined ? undefined : identifier(name, "principal");
        const maxLogins = pageSizeOf(pageSize);
        const filter = ["logins", principal ?? null];
        const cursor = token === undefined ? undefined : cursorIn(token, filter);
        const page = await logins.page({ principal, cursor, maxLogins });
        await turnFor(page.logins);
        const next = page.cursor === undefined ? {} : { nextPageToken: pageToken(filter, page.cursor) };
        return create(ListLoginsResponseSchema, { page: { logins: page.logins.map(infoOf), ...next } });
      },
    }),
    operation({
      method: rpc.endLogins,
      isAdministration: true,
      changes: true,
      auditDetails: ({ ids, principal }, response) => ({
        ...(principal === undefined ? { ids: ids.slice(0, maxIds) } : { principal }),
        ...(response?.report !== undefined && { ended: String(response.report.ended) }),
      }),
      async run({ ids, principal }) {
        if (ids.length > 0 === (principal !== undefined)) {
          throw new ServiceError("downlease.admin.end_logins_choice");
        }
        if (ids.length > maxIds) {
          throw new ServiceError("downlease.argument.too_many", ["ids", `${ids.length}`, `${maxIds}`]);
        }
        const ended =
          principal === undefined
            ? await logins.end(digestsIn(ids))
            : await endAllOf(identifier(principal, "principal"), logins);
        return create(EndLoginsResponseSchema, { report: { ended: BigInt(ended) } });
      },
    }),
    operation({
      method: rpc.listUsers,
      isAdministration: true,
      async run() {
        const sorted = [...users()].sort(([a], [b]) => (a < b ? -1 : 1));
        const infos = sorted.map(([name, { caller }]) => ({ name, roles: rolesIn(caller.roles) }));
        await turnFor(infos);
        return create(ListUsersResponseSchema, { users: infos });
      },
    }),
  ];
}

/** The ids that may be those of login sessions; others end none. */
function digestsIn(ids: readonly string[]): string[] {
  return [...new Set(ids.map((id) => identifier(id, "ids")))].filter(isLoginDigest);
}

async function endAllOf(principal: string, logins: AdminLoginParts["logins"]): Promise<number> {
  let ended = 0;
  let cursor: string | undefined;
  do {
    const page: Awaited<ReturnType<LoginStore["page"]>> = await logins.page({
      principal,
      cursor,
      maxLogins: maxIds,
    });
    ended += await logins.end(page.logins.map(({ digest }) => digest));
    ({ cursor } = page);
  } while (cursor !== undefined);
  return ended;
}

function infoOf(login: LoginRecord): MessageInitShape<typeof LoginInfoSchema> {
  return {
    id: login.digest,
    principal: login.principal,
    roles: rolesIn(login.roles),
    proof: proofKindOf(login.proof),
    createdTime: timestampFromMs(login.createdAt),
    lastAccessedTime: timestampFromMs(login.lastUsedAt),
    expirationTime: timestampFromMs(login.expiresAt),
  };
}
