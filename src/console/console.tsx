import { lazy, Suspense } from "react";
import { Redirect, Route, Switch } from "wouter";
import { useIdentity } from "./login/identity.tsx";
import { Loading } from "./parts/loading.tsx";
import { PageTitle } from "./parts/page-title.tsx";
import { Shell } from "./shell/shell.tsx";

const LoginPage = lazy(() => import("./login/login-page.tsx"));
const OverviewPage = lazy(() => import("./overview/overview-page.tsx"));
const SessionsPage = lazy(() => import("./sessions/sessions-page.tsx"));
const SessionPage = lazy(() => import("./sessions/session-page.tsx"));
const LibrariesPage = lazy(() => import("./libraries/libraries-page.tsx"));
const ItemPage = lazy(() => import("./libraries/item-page.tsx"));
const LoginsPage = lazy(() => import("./logins/logins-page.tsx"));
const SettingsPage = lazy(() => import("./settings/settings-page.tsx"));
const ReplicasPage = lazy(() => import("./replicas/replicas-page.tsx"));

/** The pages of the console, by path below `/console`. Each is loaded when it is first shown. */
export function Console() {
  const { identity } = useIdentity();
  if (identity.status === "unknown") return <Loading label="Connecting" />;
  if (identity.status === "signed out") {
    return (
      <Suspense fallback={<Loading label="Loading the page" />}>
        <LoginPage />
      </Suspense>
    );
  }
  const { isAdmin } = identity;
  return (
    <Shell>
      <Suspense fallback={<Loading label="Loading the page" />}>
        <Switch>
          <Route path="/">
            <Redirect to={isAdmin ? "/overview" : "/libraries"} replace />
          </Route>
          {isAdmin && <Route path="/overview" component={OverviewPage} />}
          <Route path="/sessions" component={SessionsPage} />
          <Route path="/sessions/:id">{({ id }) => <SessionPage id={decodeURIComponent(id)} />}</Route>
          <Route path="/libraries" component={LibrariesPage} />
          <Route path="/items/:id">{({ id }) => <ItemPage id={decodeURIComponent(id)} />}</Route>
          {isAdmin && <Route path="/logins" component={LoginsPage} />}
          {isAdmin && <Route path="/settings" component={SettingsPage} />}
          {isAdmin && <Route path="/replicas" component={ReplicasPage} />}
          <Route>
            <PageTitle title="There is no such page" />
            <p>Choose one from the menu. Some pages are for operators only.</p>
          </Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}
