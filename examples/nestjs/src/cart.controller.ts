import { Body, Controller, Get, Post, UseGuards } from '@nestjs/common'
import type { SessionObject, User } from 'hatcheck'
import { CrossOriginGuard, CurrentSession, CurrentUser, LoginGuard } from './login.js'

declare module 'fastify' {
  interface Session {
    cart?: string[]
  }
}

@Controller()
export class CartController {
  @Get('cart')
  show (@CurrentSession() session: SessionObject): { items: string[] } {
    return { items: session.cart ?? [] }
  }

  @Post('cart')
  @UseGuards(CrossOriginGuard)
  add (@CurrentSession() session: SessionObject, @Body('item') item: string): { items: string[] } {
    session.cart = [...session.cart ?? [], item]
    return { items: session.cart }
  }

  @Get('orders')
  @UseGuards(LoginGuard)
  orders (@CurrentUser() user: User): { user: string, orders: string[] } {
    return { user: user.name, orders: [] }
  }
}
