import { Catch, createParamDecorator, type ArgumentsHost, type CanActivate, type ExceptionFilter, type ExecutionContext } from '@nestjs/common'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LoginRequiredError, refuseCrossOrigin, requireLogin } from 'hatcheck'

/** Lets in only users who are logged in: `@UseGuards(LoginGuard)`. */
export class LoginGuard implements CanActivate {
  async canActivate (context: ExecutionContext): Promise<boolean> {
    await requireLogin(context.switchToHttp().getRequest<FastifyRequest>())
    return true
  }
}

/** Refuses requests that another site makes a browser send: `@UseGuards(CrossOriginGuard)`. */
export class CrossOriginGuard implements CanActivate {
  async canActivate (context: ExecutionContext): Promise<boolean> {
    await refuseCrossOrigin(context.switchToHttp().getRequest<FastifyRequest>())
    return true
  }
}

/** Passes the session to a parameter of a handler: `@CurrentSession() session`. */
export const CurrentSession = createParamDecorator((_data: unknown, context: ExecutionContext) =>
  context.switchToHttp().getRequest<FastifyRequest>().session)

/** Passes the user to a parameter of a handler: `@CurrentUser() user`. */
export const CurrentUser = createParamDecorator((_data: unknown, context: ExecutionContext) =>
  context.switchToHttp().getRequest<FastifyRequest>().user)

/** Leads a browser to the login page. Nest answers the errors of its handlers itself, so Fastify's hooks see none. */
@Catch(LoginRequiredError)
export class LoginRequiredFilter implements ExceptionFilter {
  catch (error: InstanceType<typeof LoginRequiredError>, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>()
    const reply = host.switchToHttp().getResponse<FastifyReply>()
    if (request.headers.accept?.includes('text/html') === true) reply.redirect(`/login?next=${encodeURIComponent(request.url)}`, 303)
    else reply.code(401).send({ statusCode: 401, code: error.code, message: error.message })
  }
}
