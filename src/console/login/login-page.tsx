import { type FormEvent, useState } from "react";
import { Button, Form, Input, Label, Tab, TabList, TabPanel, Tabs, TextField } from "react-aria-components";
import { PageTitle } from "../parts/page-title.tsx";
import { SignInError, useIdentity } from "./identity.tsx";

/** Asks for a name and a password, or for a token. */
export default function LoginPage() {
  const { signIn } = useIdentity();
  const [problem, setProblem] = useState<string>();
  const [isBusy, setBusy] = useState(false);

  const submit =
    (authorizationOf: (form: FormData) => string) => async (event: FormEvent<HTMLFormElement>) => {
      event.preventDefault();
      setBusy(true);
      setProblem(undefined);
      try {
        await signIn(authorizationOf(new FormData(event.currentTarget)));
      } catch (error) {
        setProblem(
          error instanceof SignInError
            ? error.message
            : "The service does not answer. Try again in a moment.",
        );
      } finally {
        setBusy(false);
      }
    };

  return (
    <main className="login">
      <PageTitle title="Log in">downlease</PageTitle>
      <p>Log in to see your download sessions and the libraries.</p>
      {problem !== undefined && (
        <p role="alert" className="problem">
          {problem}
        </p>
      )}
      <Tabs>
        <TabList aria-label="How to log in">
          <Tab id="password">Password</Tab>
          <Tab id="token">Token</Tab>
        </TabList>
        <TabPanel id="password">
          <Form onSubmit={submit((form) => basic(String(form.get("user")), String(form.get("password"))))}>
            <TextField name="user" isRequired autoFocus autoComplete="username">
              <Label>User</Label>
              <Input />
            </TextField>
            <TextField name="password" type="password" isRequired autoComplete="current-password">
              <Label>Password</Label>
              <Input />
            </TextField>
            <Button type="submit" className="primary" isPending={isBusy}>
              Log in
            </Button>
          </Form>
        </TabPanel>
        <TabPanel id="token">
          <Form onSubmit={submit((form) => `Bearer ${String(form.get("token")).trim()}`)}>
            <TextField name="token" type="password" isRequired autoComplete="off">
              <Label>Bearer token</Label>
              <Input />
            </TextField>
            <Button type="submit" className="primary" isPending={isBusy}>
              Log in
            </Button>
          </Form>
        </TabPanel>
      </Tabs>
    </main>
  );
}

/** Credentials of RFC 7617, in UTF-8. */
function basic(user: string, password: string): string {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}
