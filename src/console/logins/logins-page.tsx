import { createClient } from "@connectrpc/connect";
import { useMutation, useQuery } from "@connectrpc/connect-query";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "react-aria-components";
import { AdminService, type LoginInfo, type UserInfo } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { Confirm } from "../parts/confirm.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Loading } from "../parts/loading.tsx";
import { PageTitle } from "../parts/page-title.tsx";
import { Problem } from "../parts/problem.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { transport } from "../shell/transport.ts";

/** What is to be ended: one login session, or all of a principal. */
type Ending = { readonly login: LoginInfo } | { readonly principal: string };

const admin = createClient(AdminService, transport);

const pageSize = 200n;
const refetchInterval = 5_000;

/** Who is logged in, and the users of the users file. */
export default function LoginsPage() {
  const logins = useInfiniteQuery({
    queryKey: ["logins"],
    queryFn: ({ pageParam }) => admin.listLogins({ pageSize, ...pageParam }),
    initialPageParam: {},
    getNextPageParam: ({ page }) =>
      page?.nextPageToken === undefined ? undefined : { pageToken: page.nextPageToken },
    refetchInterval,
  });
  const users = useQuery(AdminService.method.listUsers, {}, { refetchInterval });
  const [ending, setEnding] = useState<Ending>();
  const error = logins.error ?? users.error;
  if (error !== null) return <Problem error={error} />;
  if (logins.data === undefined || users.data === undefined)
    return <Loading label="Loading who is logged in" />;
  const list = logins.data.pages.flatMap(({ page }) => page?.logins ?? []);
  return (
    <>
      <PageTitle title="Logins and users" />
      {list.length === 0 ? (
        <EmptyState title="Nobody is logged in">
          A login session appears here when somebody logs in, with <code>downlease login</code> or on this
          page.
        </EmptyState>
      ) : (
        <LoginTable logins={list} onEnd={setEnding} />
      )}
      {logins.hasNextPage && (
        <Button isPending={logins.isFetchingNextPage} onPress={() => void logins.fetchNextPage()}>
          Show more
        </Button>
      )}
      <h2>Users</h2>
      <UserTable users={users.data.users} logins={list} onEnd={setEnding} />
      {ending !== undefined && (
        <EndDialog
          ending={ending}
          onClose={() => {
            setEnding(undefined);
            void logins.refetch();
          }}
        />
      )}
    </>
  );
}

function LoginTable({
  logins,
  onEnd,
}: {
  readonly logins: readonly LoginInfo[];
  onEnd(ending: Ending): void;
}) {
  return (
    <Table
      label="Login sessions"
      columns={["Principal", "Roles", "Proven by", "Opened", "Last used", "Ends unless used", ""]}
    >
      {logins.map((login) => (
        <tr key={login.id}>
          <th scope="row">{login.principal}</th>
          <td>{login.roles.join(", ")}</td>
          <td>{login.proof}</td>
          <td>
            <Time time={login.createdTime} />
          </td>
          <td>
            <Time time={login.lastAccessedTime} />
          </td>
          <td>
            <Time time={login.expirationTime} />
          </td>
          <td>
            <Button
              aria-label={`End this login session of ${login.principal}`}
              onPress={() => onEnd({ login })}
            >
              End
            </Button>
          </td>
        </tr>
      ))}
    </Table>
  );
}

function UserTable({
  users,
  logins,
  onEnd,
}: {
  readonly users: readonly UserInfo[];
  readonly logins: readonly LoginInfo[];
  onEnd(ending: Ending): void;
}) {
  if (users.length === 0) {
    return (
      <p className="fine">
        There is no users file. Start the service with <code>--users-file</code>, and add users with{" "}
        <code>downlease users add NAME</code>.
      </p>
    );
  }
  return (
    <Table label="Users" columns={["User", "Roles", "Login sessions", ""]}>
      {users.map(({ name, roles }) => {
        const count = logins.filter(({ principal }) => principal === name).length;
        return (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{roles.join(", ")}</td>
            <td>{count}</td>
            <td>
              {count > 0 && (
                <Button aria-label={`Log out ${name} everywhere`} onPress={() => onEnd({ principal: name })}>
                  Log out
                </Button>
              )}
            </td>
          </tr>
        );
      })}
    </Table>
  );
}

function EndDialog({ ending, onClose }: { readonly ending: Ending; onClose(): void }) {
  const end = useMutation(AdminService.method.endLogins, { onSuccess: onClose });
  const principal = "login" in ending ? ending.login.principal : ending.principal;
  const request = "login" in ending ? { ids: [ending.login.id] } : { principal };
  return (
    <Confirm
      title={"login" in ending ? "End the login session?" : "Log out everywhere?"}
      action="End"
      isDanger
      isBusy={end.isPending}
      error={end.error}
      onConfirm={() => end.mutate(request)}
      onClose={onClose}
    >
      <p>
        {"login" in ending ? "A login session" : "Every login session"} of <strong>{principal}</strong> ends.
        Calls with it are refused from then on. Download sessions stay.
      </p>
    </Confirm>
  );
}
